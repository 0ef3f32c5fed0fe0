"""The life of a scan in Postgres, as the worker sees it: leased, ended exactly once.

Every change names the state it starts from, and the end of a scan also names
the lease token, so a worker that lost its lease changes nothing (fencing).
Times are the database's own, so workers' clocks do not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Interval, case, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database import features
from worker.database.features import Seen
from worker.database.images import BULK_QUEUE
from worker.database.session import Database
from worker.database.tables import (
    Bundle,
    BundleRole,
    Heatmap,
    Image,
    Policy,
    Scan,
    ScanKind,
    ScanState,
    Verdict,
)
from worker.database.withdrawal import is_withdrawn, queue_if_withdrawn
from worker.decisions.near_hashes import bands_of
from worker.decisions.shadow import Challenger
from worker.errors import LeaseLostError, Reason, TransientError

# A lease that expires says the worker died or hung, not that the image is bad:
# it takes two to suspect an image.
SUSPECT_AFTER_EXPIRIES = 2


@dataclass(frozen=True)
class Lease:
    """A worker's right to one scan until the lease ends, and all it needs to do it."""

    scan_id: int
    token: UUID
    image: Image
    policy: Policy
    bundle_version: str
    shadow: bool
    attempts: int
    suspect: bool
    only_heatmaps: bool = False  # the verdict is there; somebody asked what it rests on
    rescan: bool = False
    challenger: Challenger | None = None  # scans a share of the live images in shadow


@dataclass(frozen=True)
class ImageFacts:
    """What was learnt of the image while scanning it."""

    sha256: str
    size_bytes: int
    width: int
    height: int
    pdq: str | None = None  # 256 characters 0 or 1; None where the picture is too plain
    truncated: bool = False  # the file breaks off; what is missing was taken for white


class Scans:
    """The scan table as the worker sees it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease(self, scan_id: int, seconds: float) -> Lease | None:
        """Lease a dispatched scan, or return None when there is nothing to do for it.

        A live scan takes the champion of this moment; others name their bundle
        since they were made.
        """
        champion = select(Bundle.version).where(Bundle.role == "champion").scalar_subquery()
        token = uuid4()
        take = (
            update(Scan)
            .where(Scan.id == scan_id, Scan.state == ScanState.DISPATCHED)
            .values(
                state=ScanState.LEASED,
                lease_token=token,
                due_at=from_now(seconds),
                bundle_version=case((Scan.kind == ScanKind.LIVE, champion), else_=Scan.bundle_version),
            )
            .returning(Scan.image_pk, Scan.bundle_version, Scan.kind, Scan.attempts, Scan.lease_expiries)
            .cte("taken")
        )
        newest = select(func.max(Policy.version)).scalar_subquery()
        # One round trip: every image pays for this.
        in_shadow = (Bundle.role == BundleRole.CHALLENGER) & (take.c.kind == ScanKind.LIVE)
        taken = (
            select(take, Image, Policy, Bundle.version.label("challenger"), Bundle.shadow_share)
            .join(Image, Image.id == take.c.image_pk)
            .join(Policy, Policy.version == newest)
            .outerjoin(Bundle, in_shadow)
        )
        with self._database.transaction() as session:
            row = session.execute(taken).one_or_none()
            if row is None:
                return None
            if row.bundle_version is None:
                raise TransientError("there is no champion bundle; start a worker once or promote one")
        return Lease(
            scan_id=scan_id,
            token=token,
            image=row.Image,
            policy=row.Policy,
            bundle_version=row.bundle_version,
            shadow=row.kind == ScanKind.SHADOW,
            only_heatmaps=row.kind == ScanKind.HEATMAP,
            rescan=row.kind == ScanKind.RESCAN,
            attempts=row.attempts,
            suspect=row.lease_expiries >= SUSPECT_AFTER_EXPIRIES,
            challenger=Challenger(row.challenger, row.shadow_share) if row.challenger else None,
        )

    def renew(self, leases: Sequence[Lease], seconds: float) -> set[UUID]:
        """Let leases last so many seconds from now; return the tokens of those that still hold."""
        tokens = [lease.token for lease in leases]
        mine = (
            update(Scan)
            .where(Scan.id.in_([lease.scan_id for lease in leases]))
            .where(Scan.state == ScanState.LEASED, Scan.lease_token.in_(tokens))
        )
        with self._database.transaction() as session:
            return set(session.scalars(mine.values(due_at=from_now(seconds)).returning(Scan.lease_token)))

    def complete(
        self,
        lease: Lease,
        verdict: Mapping[str, Any],
        heatmaps: Sequence[Mapping[str, Any]],
        facts: ImageFacts,
        timings: Mapping[str, float],
        *,
        seen: Seen | None = None,
    ) -> None:
        """Write verdict, heatmaps and the end of the scan in one transaction.

        Args:
            lease: the lease under which all this was computed.
            verdict: columns of :class:`~worker.database.tables.Verdict` but for keys and times.
            heatmaps: columns of :class:`~worker.database.tables.Heatmap`, likewise.
            facts: what was learnt of the image.
            timings: stage to milliseconds.
            seen: what a later bundle can be judged by without the pixels; None to keep nothing.

        Raises:
            LeaseLostError: another worker holds the scan; nothing was written.
        """
        row = {**verdict, "image_pk": lease.image.id, "scan_id": lease.scan_id, "shadow": lease.shadow}
        row["source"] = lease.image.source
        if "duplicate_of" not in row:
            row["content"] = facts.sha256  # what the next image of these bytes finds it by
        with self._database.transaction() as session:
            self._end(session, lease, ScanState.COMPLETED, timings=dict(timings))
            verdict_id = session.scalar(upsert(Verdict).values(**row).on_conflict_do_nothing().returning(Verdict.id))
            if verdict_id is not None and heatmaps:
                session.execute(upsert(Heatmap), [{**heatmap, "verdict_id": verdict_id} for heatmap in heatmaps])
            bands = None if facts.pdq is None else bands_of(facts.pdq)
            known = {**vars(facts), "pdq_bands": bands, "confirmed": True}
            learnt = update(Image).where(Image.id == lease.image.id).values(**known)
            withdrawn = session.scalar(learnt.returning(is_withdrawn(lease.bundle_version)))
            if withdrawn and not lease.shadow:
                queue_if_withdrawn(session, lease.image.id)
            if seen is not None:
                features.put(session, lease.image.id, lease.bundle_version, seen)
            if lease.challenger is not None and lease.challenger.takes(lease.image.id):
                named = {"kind": ScanKind.SHADOW, "queue": BULK_QUEUE, "bundle_version": lease.challenger.version}
                session.execute(upsert(Scan).values(image_pk=lease.image.id, **named))

    def explain(self, lease: Lease, heatmaps: Sequence[Mapping[str, Any]], timings: Mapping[str, float]) -> None:
        """Write heatmaps that somebody asked for and the end of the scan; raises LeaseLostError as :meth:`complete`.

        They belong to the newest verdict of the scan's bundle that is not shadow; what that has already stays.
        """
        explained = (
            select(Verdict.id)
            .where(Verdict.image_pk == lease.image.id, Verdict.bundle_version == lease.bundle_version)
            .where(Verdict.shadow.is_(False))
            .order_by(Verdict.id.desc())
            .limit(1)
        )
        with self._database.transaction() as session:
            self._end(session, lease, ScanState.COMPLETED, timings=dict(timings))
            verdict_id = session.scalar(explained)
            if verdict_id is not None and heatmaps:
                rows = [{**heatmap, "verdict_id": verdict_id} for heatmap in heatmaps]
                session.execute(upsert(Heatmap).on_conflict_do_nothing(), rows)

    def reject(self, lease: Lease, reason: Reason, detail: str) -> None:
        """End the scan because of the image itself; raises LeaseLostError as :meth:`complete`."""
        with self._database.transaction() as session:
            self._end(session, lease, ScanState.REJECTED, reason=reason, detail=_short(detail))
            if reason is not Reason.GONE:  # so it was read
                session.execute(update(Image).where(Image.id == lease.image.id).values(confirmed=True))

    def fail(self, lease: Lease, detail: str, *, retry_in: float | None) -> None:
        """Count an attempt; try again in so many seconds, or declare the scan dead when None.

        Raises:
            LeaseLostError: another worker holds the scan; nothing was written.
        """
        attempts = lease.attempts + 1
        with self._database.transaction() as session:
            if retry_in is None:
                reason = Reason.ATTEMPTS_EXHAUSTED
                self._end(session, lease, ScanState.DEAD, reason=reason, detail=_short(detail), attempts=attempts)
            else:
                values = {"state": ScanState.QUEUED, "lease_token": None, "detail": _short(detail)}
                self._fenced(session, lease, **values, attempts=attempts, due_at=from_now(retry_in))

    def _end(self, session: Session, lease: Lease, state: ScanState, **values: Any) -> None:
        final = {"state": state, "lease_token": None, "due_at": None, "finished_at": func.now()}
        self._fenced(session, lease, **{"detail": None, **final, **values})

    def _fenced(self, session: Session, lease: Lease, **values: Any) -> None:
        mine = update(Scan).where(
            Scan.id == lease.scan_id, Scan.state == ScanState.LEASED, Scan.lease_token == lease.token
        )
        if session.scalar(mine.values(**values).returning(Scan.id)) is None:
            raise LeaseLostError(f"scan {lease.scan_id} is not leased to this worker any more")


def from_now(seconds: float) -> ColumnElement[Any]:
    """Return the time in so many seconds, by the database's clock."""
    return func.now() + cast(literal(f"{seconds} seconds"), Interval)


def _short(detail: str) -> str:
    # Postgres text holds no NUL, and nobody reads a detail longer than a screen.
    return detail.replace("\x00", "")[:500]
