"""The life of a scan in Postgres, as the worker sees it: leased, ended exactly once.

Every change names the state it starts from, and the end of a scan also names
the lease token, so a worker that lost its lease changes nothing (fencing).
Times are the database's own, so workers' clocks do not matter.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import and_, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database import features, thumbnails
from worker.database.clock import from_now
from worker.database.features import StoredFeatures
from worker.database.images import BULK_QUEUE
from worker.database.scan_statements import add_verdict, end_of_scan, learn, new
from worker.database.session import Database
from worker.database.tables import Bundle, BundleRole, Heatmap, Image, Policy, Scan, ScanKind, ScanState, Verdict
from worker.database.take_scan import has_champion, put_back, take
from worker.database.withdrawal import queue_if_withdrawn
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
    only_thumbnail: bool = False  # somebody wants to see the image
    rescan: bool = False
    challenger: Challenger | None = None  # scans a share of the live images in shadow
    bulk: bool = False  # history, which waits for what is live

    @property
    def is_first(self) -> bool:
        """Tell whether this is the scan that an upload brought."""
        return not (self.shadow or self.rescan or self.only_heatmaps or self.only_thumbnail)


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

    def lease(
        self, scan_id: int, seconds: float, *, worker_id: int | None = None, ready: Collection[str] | None = None
    ) -> Lease | None:
        """Lease a dispatched scan, or return None when there is nothing to do for it.

        Args:
            scan_id: of the scan.
            seconds: that the lease lasts.
            worker_id: who takes it; None where that is not known.
            ready: versions of bundles that are loaded; scans that name others are left. None for all.
        """
        token = uuid4()
        taken = take(self._database, scan_id, token, seconds, worker_id=worker_id, ready=ready)
        if taken is None:
            if not has_champion(self._database):
                raise TransientError("there is no champion bundle; start a worker once or promote one")
            return None
        return Lease(
            scan_id=scan_id,
            token=token,
            image=taken.image,
            policy=taken.policy,
            bundle_version=taken.bundle_version,
            shadow=taken.kind == ScanKind.SHADOW,
            only_heatmaps=taken.kind == ScanKind.HEATMAP,
            only_thumbnail=taken.kind == ScanKind.THUMBNAIL,
            rescan=taken.kind == ScanKind.RESCAN,
            attempts=taken.attempts,
            suspect=taken.lease_expiries >= SUSPECT_AFTER_EXPIRIES,
            challenger=Challenger(taken.challenger, taken.shadow_share or 0.0) if taken.challenger else None,
            bulk=taken.queue == BULK_QUEUE,
        )

    def put_back(self, scan_id: int, ready: Collection[str], pause: float) -> str | None:
        """Queue a dispatched scan again whose bundle is not loaded here, due in so many seconds.

        Returns:
            The version that it waits for; None where nothing was put back.
        """
        with self._database.transaction() as session:
            return session.scalar(put_back(scan_id, ready, pause))

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

    def queue_again(self, scans: Mapping[int, UUID | None]) -> None:
        """Queue scans again that a worker took and cannot end, and wake the dispatcher; nothing is held against them.

        Args:
            scans: token of the worker's lease by scan; None for a scan whose message it took without a lease.
        """
        leases = [token for token in scans.values() if token is not None]
        messages = [scan_id for scan_id, token in scans.items() if token is None]
        leased = and_(Scan.state == ScanState.LEASED, Scan.lease_token.in_(leases))
        dispatched = and_(Scan.state == ScanState.DISPATCHED, Scan.id.in_(messages))
        with self._database.transaction() as session:
            queued = {"state": ScanState.QUEUED, "lease_token": None, "due_at": func.now()}
            session.execute(update(Scan).where(Scan.id.in_(list(scans)), or_(leased, dispatched)).values(**queued))
            session.execute(select(func.pg_notify("assay_scan_queued", "")))

    def complete(
        self,
        lease: Lease,
        verdict: Mapping[str, Any],
        heatmaps: Sequence[Mapping[str, Any]],
        facts: ImageFacts,
        timings: Mapping[str, float],
        *,
        memory: StoredFeatures | None = None,
        thumbnail_key: str | None = None,
    ) -> None:
        """Write verdict, heatmaps and the end of the scan in one transaction.

        Args:
            lease: the lease under which all this was computed.
            verdict: columns of :class:`~worker.database.tables.Verdict` but for keys and times.
            heatmaps: columns of :class:`~worker.database.tables.Heatmap`, likewise.
            facts: what was learnt of the image.
            timings: stage to milliseconds.
            memory: what a later bundle can be judged by without the pixels; None to keep nothing.
            thumbnail_key: where a thumbnail was stored; None where none was made.

        Raises:
            LeaseLostError: another worker holds the scan; nothing was written.
        """
        row = {**verdict, "image_pk": lease.image.id, "scan_id": lease.scan_id, "shadow": lease.shadow}
        row["source"] = lease.image.source
        if "duplicate_of" not in row:
            row["content"] = facts.sha256  # what the next image of these bytes finds it by
        with self._database.transaction() as session:
            self._end(session, lease, ScanState.COMPLETED, timings=dict(timings))
            verdict_id = add_verdict(*row).scalar(session, row)
            if verdict_id is not None and heatmaps:
                session.execute(upsert(Heatmap), [{**heatmap, "verdict_id": verdict_id} for heatmap in heatmaps])
            bands = None if facts.pdq is None else bands_of(facts.pdq)
            learnt = {**vars(facts), "pdq_bands": bands, "confirmed": True}
            of_image = {"image": lease.image.id, "bundle": lease.bundle_version}
            withdrawn = learn(*learnt).scalar(session, {**new(learnt), **of_image})
            if withdrawn and not lease.shadow:
                queue_if_withdrawn(session, lease.image.id)
            if memory is not None:
                features.put(session, lease.image.id, lease.bundle_version, memory)
            if thumbnail_key is not None:
                thumbnails.put(session, lease.image.id, thumbnail_key)
            _queue_shadow(session, lease)

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

    def keep_thumbnail(self, lease: Lease, key: str, timings: Mapping[str, float]) -> None:
        """Note a thumbnail that somebody asked for, and the end of the scan; raises as :meth:`complete`."""
        with self._database.transaction() as session:
            self._end(session, lease, ScanState.COMPLETED, timings=dict(timings))
            thumbnails.put(session, lease.image.id, key)

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
        final = {"state": state, "detail": None, **values}
        arguments = {"scan": lease.scan_id, "token": lease.token, **new(final)}
        if end_of_scan(*final).scalar(session, arguments) is None:
            raise _lost(lease)

    def _fenced(self, session: Session, lease: Lease, **values: Any) -> None:
        mine = update(Scan).where(
            Scan.id == lease.scan_id, Scan.state == ScanState.LEASED, Scan.lease_token == lease.token
        )
        if session.scalar(mine.values(**values).returning(Scan.id)) is None:
            raise _lost(lease)


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(f"scan {lease.scan_id} is not leased to this worker any more")


def _short(detail: str) -> str:
    # Postgres text holds no NUL, and nobody reads a detail longer than a screen.
    return detail.replace("\x00", "")[:500]


def _queue_shadow(session: Session, lease: Lease) -> None:
    """Queue the challenger's scan of the same image, where it takes this one."""
    if lease.challenger is not None and lease.challenger.takes(lease.image.id):
        of_image = (literal(lease.image.id), literal(ScanKind.SHADOW.value), literal(BULK_QUEUE))
        # Whoever withdraws it meanwhile waits for us, or we for them and queue nothing.
        still = select(*of_image, Bundle.version).where(
            Bundle.version == lease.challenger.version, Bundle.role == BundleRole.CHALLENGER
        )
        columns = ["image_pk", "kind", "queue", "bundle_version"]
        session.execute(upsert(Scan).from_select(columns, still.with_for_update(read=True)))
