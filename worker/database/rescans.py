"""Rescans: images scanned once more, on the bulk queue behind all new ones.

Single images are queued at once. History is a row with a filter and a rate, which the dispatcher turns into scans bit
by bit; it passes over what the bundle has judged under the newest policy. Either way an image whose rescan by the
bundle is open gets no second one. What is done is written down with the scans, so a dispatcher that dies leaves
neither gap nor double.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import CTE, Select, exists, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.bundles import champion
from worker.database.driver_statement import DriverStatement
from worker.database.due_scans import backlog
from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.promotion import UnknownBundleError
from worker.database.rescan_filter import RescanFilter, images_of
from worker.database.served import newest_first
from worker.database.session import Database
from worker.database.tables import OPEN_STATES, Bundle, Image, Policy, Rescan, RescanState, Scan, ScanKind, Verdict
from worker.database.withdrawal import is_withdrawn
from worker.decisions.vocabulary import DecidedBy
from worker.errors import AssayError

# Rows looked at by one step: some tens of milliseconds, in one transaction.
EXAMINED_AT_ONCE = 10_000
# Live images that wait this long are short of workers; history can wait.
_LIVE_WAITS_SECONDS = 10.0
# A dispatcher that slept makes up for no more than this, or history would come in one burst.
_MOST_SECONDS = 10.0
_MOST_OPEN_SECONDS = 30.0
_RUNNING = DriverStatement(select(Rescan.id).where(Rescan.state == RescanState.RUNNING))


class NoChampionError(AssayError):
    """There is no champion bundle yet; start a worker once, or promote a bundle."""


class NeverPromotedError(AssayError):
    """This bundle was never promoted, and what a rescan finds is served; promote it, or let it scan in shadow."""


class WithdrawnBundleError(AssayError):
    """This bundle was rolled back, and what it finds is not served; promote it again, or scan by the champion."""


@dataclass(frozen=True)
class RescanOutcome:
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
    """Makes scans that name their bundle."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_images(self, actor: Actor, image_ids: Sequence[str], bundle_version: str | None = None) -> RescanOutcome:
        """Rescan the newest version of each image.

        Raises:
            UnknownBundleError, NoChampionError, NeverPromotedError, WithdrawnBundleError: the bundle cannot be named.
        """
        distinct = list(dict.fromkeys(image_ids))
        newest = (
            select(Image.id, Image.image_id)
            .ext(distinct_on(Image.image_id))
            .where(Image.image_id.in_(distinct), Image.erased_at.is_(None))
            .order_by(Image.image_id, *newest_first())
        )
        with self._database.transaction() as session:
            version = version_of(session, bundle_version)
            by_id = {image_id: image_pk for image_pk, image_id in session.execute(newest)}
            made = _queue(session, select(Image.id).where(Image.id.in_(by_id.values())), version)
            record(session, actor, "scan.request", f"bundle:{version}", images=len(by_id), queued=len(made))
        unknown = [image_id for image_id in distinct if image_id not in by_id]
        return RescanOutcome([scan_id for scan_id, _ in made], version, unknown)

    def of_prefix(
        self, actor: Actor, bucket: str, prefix: str, *, bundle_version: str | None = None, after: int = 0
    ) -> RescanOutcome:
        """Rescan every version of what lies under a prefix, among the next rows after ``after``; raises likewise."""
        examined = _examined(after)
        under = images_of(RescanFilter(bucket=bucket, prefix=prefix)).join(examined, examined.c.id == Image.id)
        with self._database.transaction() as session:
            version = version_of(session, bundle_version)
            count, last = session.execute(select(func.count(), func.max(examined.c.id))).one()
            made = _queue(session, under, version)
            record(session, actor, "scan.request", f"bundle:{version}", bucket=bucket, queued=len(made))
        next_after = last if count == EXAMINED_AT_ONCE else None
        return RescanOutcome([scan_id for scan_id, _ in made], version, next_after=next_after)

    def add(
        self, actor: Actor, history: RescanFilter, *, rate: float, reason: str, bundle_version: str | None = None
    ) -> Rescan:
        """Ask for a rescan of what is known now, by a bundle or by today's champion.

        Raises:
            UnknownBundleError, NoChampionError, NeverPromotedError, WithdrawnBundleError: the bundle cannot be named.
        """
        with self._database.transaction() as session:
            version = version_of(session, bundle_version)
            row = Rescan(
                filter=history.as_json(), bundle_version=version, rate=rate, reason=reason, requested_by=actor.name
            )
            session.add(row)
            session.flush()
            session.refresh(row)
            record(session, actor, "rescan.add", f"rescan:{row.id}", bundle=version, rate=rate, reason=reason)
        return row

    def get(self, rescan_id: int) -> Rescan | None:
        """Return one rescan."""
        with self._database.transaction() as session:
            return session.get(Rescan, rescan_id)

    def page(self, *, limit: int, before: int | None = None) -> Sequence[Rescan]:
        """Return rescans, newest first, those with ids below ``before``."""
        rescans = select(Rescan).order_by(Rescan.id.desc()).limit(limit)
        if before is not None:
            rescans = rescans.where(Rescan.id < before)
        with self._database.transaction() as session:
            return session.scalars(rescans).all()

    def cancel(self, actor: Actor, rescan_id: int) -> bool:
        """Make no more scans; False when it runs no more. Those that are made are done."""
        ended = (
            update(Rescan)
            .where(Rescan.id == rescan_id, Rescan.state == RescanState.RUNNING)
            .values(state=RescanState.CANCELLED, finished_at=func.now())
            .returning(Rescan.id)
        )
        with self._database.transaction() as session:
            done = session.scalar(ended) is not None
            if done:
                record(session, actor, "rescan.cancel", f"rescan:{rescan_id}")
        return done

    def step(self) -> int:
        """Make the scans that are due by every running rescan's rate; return how many. For the dispatcher."""
        running = self._running()
        if not running:
            return 0
        with self._database.statement() as session:
            _, live_waits = backlog(session, LIVE_QUEUE)
        if live_waits > _LIVE_WAITS_SECONDS:
            return 0
        return sum(self._step(rescan_id) for rescan_id in running)

    def rests(self) -> bool:
        """Tell whether none runs."""
        return not self._running()

    def _running(self) -> Sequence[int]:
        return [rescan_id for (rescan_id,) in self._database.fetch_rows(_RUNNING)]

    def _step(self, rescan_id: int) -> int:
        with self._database.transaction() as session:
            locked = select(Rescan, func.extract("epoch", func.now() - Rescan.stepped_at)).where(
                Rescan.id == rescan_id, Rescan.state == RescanState.RUNNING
            )
            row = session.execute(locked.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return 0
            rescan, seconds = row
            room = min(
                # Rates below one in so many seconds wait for their one.
                int(rescan.rate * min(float(seconds), max(_MOST_SECONDS, 1.5 / rescan.rate))),
                int(rescan.rate * _MOST_OPEN_SECONDS) + 1 - _open(session, rescan.bundle_version),
            )
            if room <= 0:
                return 0
            return _advance(session, rescan, room)


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


def _open(session: Session, version: str) -> int:
    waiting = select(func.count()).where(
        Scan.kind == ScanKind.RESCAN,
        Scan.bundle_version == version,
        Scan.state.in_(OPEN_STATES),
        Scan.queue == BULK_QUEUE,
    )
    return session.scalar(waiting) or 0


def _examined(after: int) -> CTE:
    return select(Image.id).where(Image.id > after).order_by(Image.id).limit(EXAMINED_AT_ONCE).cte("examined")


def _queue(session: Session, images: Select[int], version: str, *, most: int | None = None) -> list[tuple[int, int]]:
    """Queue the first of these images whose rescan is not open; return the new scans and their images, in order."""
    open_already = exists().where(
        Scan.image_pk == Image.id,
        Scan.kind == ScanKind.RESCAN,
        Scan.bundle_version == version,
        Scan.state.in_(OPEN_STATES),
    )
    chosen = images.where(~open_already).order_by(Image.id).limit(most).subquery()
    rows = select(chosen.c.id, literal(ScanKind.RESCAN.value), literal(BULK_QUEUE), literal(version))
    into = insert(Scan).from_select(["image_pk", "kind", "queue", "bundle_version"], rows)
    made = session.execute(into.returning(Scan.id, Scan.image_pk)).all()
    return sorted((scan_id, image_pk) for scan_id, image_pk in made)


def _advance(session: Session, rescan: Rescan, room: int) -> int:
    examined = _examined(rescan.after_image)
    last, count = session.execute(select(func.max(examined.c.id), func.count()).select_from(examined)).one()
    portion = _history(rescan).join(examined, examined.c.id == Image.id)
    made = _queue(session, portion, rescan.bundle_version, most=room)
    # A full step may have stopped short of the last row that it looked at.
    stopped_short = len(made) == room
    upto = max(image_pk for _, image_pk in made) if stopped_short else last
    if upto is not None:
        between = select(func.count()).where(Image.id > rescan.after_image, Image.id <= upto)
        rescan.examined += session.scalar(between) or 0
        rescan.after_image = upto
    rescan.queued += len(made)
    rescan.stepped_at = session.scalar(select(func.now())) or rescan.stepped_at
    if not stopped_short and count < EXAMINED_AT_ONCE:
        rescan.state, rescan.finished_at = RescanState.COMPLETED, rescan.stepped_at
    return len(made)


def _history(rescan: Rescan) -> Select[int]:
    """Return the images that the filter names, were known when it was made, and are not judged or about to be."""
    judged_already = exists().where(
        Verdict.image_pk == Image.id,
        Verdict.bundle_version == rescan.bundle_version,
        Verdict.policy_version == select(func.max(Policy.version)).scalar_subquery(),
        Verdict.shadow.is_(False),
        Verdict.decided_by != DecidedBy.HUMAN,
    )
    # A live scan that is still to come takes the champion of then.
    to_come = exists().where(Scan.image_pk == Image.id, Scan.kind == ScanKind.LIVE, Scan.state.in_(OPEN_STATES))
    older = Image.created_at < rescan.created_at
    return images_of(RescanFilter.of(rescan.filter)).where(older, ~judged_already, ~to_come)
