"""Rescans on request: of images by their ids, or of all under a prefix, a bounded number at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from worker.database.audit import Actor, record
from worker.database.bundles import champion
from worker.database.images import BULK_QUEUE
from worker.database.promotion import UnknownBundleError
from worker.database.served import newest_first
from worker.database.session import Database
from worker.database.tables import Bundle, Image, Scan, ScanKind, ScanState
from worker.database.withdrawal import is_withdrawn
from worker.errors import AssayError

_OPEN = (ScanState.QUEUED, ScanState.DISPATCHED, ScanState.LEASED)
# Rows looked at by one call for a prefix: some tens of milliseconds, in one transaction.
EXAMINED_AT_ONCE = 10_000


class NoChampionError(AssayError):
    """There is no champion bundle yet; start a worker once, or promote a bundle."""


class NeverPromotedError(AssayError):
    """This bundle was never promoted, and what a rescan finds is served; promote it, or let it scan in shadow."""


class WithdrawnBundleError(AssayError):
    """This bundle was rolled back, and what it finds is not served; promote it again, or scan by the champion."""


@dataclass(frozen=True)
class Requested:
    """What became of a request.

    Attributes:
        scan_ids: rescans that are queued now.
        bundle_version: the bundle that they name.
        unknown: image ids that nobody knows.
        next_after: where a request for a prefix goes on, None when all was seen.
    """

    scan_ids: Sequence[int]
    bundle_version: str
    unknown: Sequence[str] = ()
    next_after: int | None = None


class Rescans:
    """Makes scans that name their bundle; an image whose rescan by it is open gets no second one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_images(self, actor: Actor, image_ids: Sequence[str], bundle_version: str | None = None) -> Requested:
        """Rescan the newest version of each image.

        Raises:
            UnknownBundleError, NoChampionError, NeverPromotedError, WithdrawnBundleError: the bundle cannot be named.
        """
        wanted = list(dict.fromkeys(image_ids))
        newest = (
            select(Image.id, Image.image_id)
            .ext(distinct_on(Image.image_id))
            .where(Image.image_id.in_(wanted), Image.erased_at.is_(None))
            .order_by(Image.image_id, *newest_first())
        )
        with self._database.transaction() as session:
            version = version_of(session, bundle_version)
            found = {image_id: image_pk for image_pk, image_id in session.execute(newest)}
            scan_ids = _queue(session, select(Image.id).where(Image.id.in_(found.values())), version)
            record(session, actor, "scan.request", f"bundle:{version}", images=len(found), queued=len(scan_ids))
        return Requested(scan_ids, version, [image_id for image_id in wanted if image_id not in found])

    def of_prefix(
        self, actor: Actor, bucket: str, prefix: str, *, bundle_version: str | None = None, after: int = 0
    ) -> Requested:
        """Rescan every version of what lies under a prefix, among the next rows after ``after``; raises likewise."""
        examined = select(Image.id).where(Image.id > after).order_by(Image.id).limit(EXAMINED_AT_ONCE).cte("examined")
        under = (
            select(Image.id)
            .join(examined, examined.c.id == Image.id)
            .where(Image.bucket == bucket, func.starts_with(Image.key, prefix), Image.erased_at.is_(None))
        )
        with self._database.transaction() as session:
            version = version_of(session, bundle_version)
            count, last = session.execute(select(func.count(), func.max(examined.c.id))).one()
            scan_ids = _queue(session, under, version)
            record(session, actor, "scan.request", f"bundle:{version}", bucket=bucket, queued=len(scan_ids))
        return Requested(scan_ids, version, next_after=last if count == EXAMINED_AT_ONCE else None)

    def replay(self, actor: Actor, scan_id: int) -> bool:
        """Queue a dead scan again with all its attempts; False when it is not dead, or its heatmaps are on their way.

        Expired leases stay counted: an image that took two workers down still
        runs alone.
        """
        other = aliased(Scan)
        asked_again = select(other.id).where(
            other.image_pk == Scan.image_pk,
            other.bundle_version == Scan.bundle_version,
            other.kind == ScanKind.HEATMAP,
            other.state.in_(_OPEN),
        )
        queued = (
            update(Scan)
            .where(Scan.id == scan_id, Scan.state == ScanState.DEAD)
            .where((Scan.kind != ScanKind.HEATMAP) | ~asked_again.exists())
            .where(select(Image.id).where(Image.id == Scan.image_pk, Image.erased_at.is_(None)).exists())
            .values(state=ScanState.QUEUED, attempts=0, due_at=func.now(), lease_token=None)
            .values(reason=None, detail=None, finished_at=None)
            .returning(Scan.id)
        )
        with self._database.transaction() as session:
            done = session.scalar(queued) is not None
            if done:
                record(session, actor, "scan.replay", f"scan:{scan_id}")
        return done


def version_of(session: Session, named: str | None) -> str:
    """Return the named bundle's version, or the champion's.

    Raises:
        UnknownBundleError, NoChampionError: the bundle cannot be named.
        NeverPromotedError: it has passed neither gate and shadow nor an admin who forced it.
        WithdrawnBundleError: it was rolled back.
    """
    bundle = champion(session) if named is None else session.get(Bundle, named)
    if bundle is None:
        raise NoChampionError if named is None else UnknownBundleError
    if bundle.promoted_at is None:
        raise NeverPromotedError
    if session.scalar(select(is_withdrawn(bundle.version))):
        raise WithdrawnBundleError
    return bundle.version


def _queue(session: Session, images: Select[int], version: str) -> Sequence[int]:
    chosen = images.subquery()
    open_already = select(Scan.id).where(
        Scan.image_pk == chosen.c.id,
        Scan.kind == ScanKind.RESCAN,
        Scan.bundle_version == version,
        Scan.state.in_(_OPEN),
    )
    columns = (chosen.c.id, literal(ScanKind.RESCAN.value), literal(BULK_QUEUE), literal(version))
    rows = select(*columns).where(~open_already.exists())
    into = insert(Scan).from_select(["image_pk", "kind", "queue", "bundle_version"], rows)
    return session.scalars(into.returning(Scan.id)).all()
