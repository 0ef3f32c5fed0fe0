"""Rescans of history: a filter and a rate become scans on the bulk queue bit by bit, behind all live images.

Nothing is done twice: an image that the bundle has judged under the newest policy is passed over, and so is one whose
rescan is open. What is done is written down with the scans, so a dispatcher that dies leaves neither gap nor double.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, insert, literal, select, update
from sqlalchemy.orm import Session, aliased

from worker.database.audit import Actor, record
from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.rescans import version_of
from worker.database.scans import backlog
from worker.database.serving_rule import served_verdict
from worker.database.session import Database
from worker.database.tables import Image, Policy, Rescan, RescanState, Scan, ScanKind, ScanState, Verdict
from worker.decisions.vocabulary import DecidedBy, VerdictValue

_OPEN = (ScanState.QUEUED, ScanState.DISPATCHED, ScanState.LEASED)
# Rows looked at by one step: some tens of milliseconds, in one transaction.
_EXAMINED_AT_ONCE = 10_000
# Live images that wait this long are short of workers; history can wait.
_LIVE_WAITS_SECONDS = 10.0
# A dispatcher that slept makes up for no more than this, or history would come in one burst.
_MOST_SECONDS = 10.0
_MOST_OPEN_SECONDS = 30.0


@dataclass(frozen=True)
class HistoryFilter:
    """Which images are scanned again; None is no restriction. People's verdicts do not count for it.

    Attributes:
        source: exactly this source.
        verdict: judged so.
        judged_by: by this bundle version.
        since: known at or after this time.
        until: known before this time.
        min_probability: judged at least this probable.
        max_probability: judged at most this probable.
    """

    source: str | None = None
    verdict: VerdictValue | None = None
    judged_by: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_probability: float | None = None
    max_probability: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what is restricted, as plain values."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "HistoryFilter":
        """Read what :meth:`as_json` wrote."""
        times = {name: datetime.fromisoformat(told[name]) for name in ("since", "until") if name in told}
        return cls(**{**told, **times})


class HistoryRescans:
    """Wishes to scan history again, and the steps that fulfil them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, actor: Actor, wanted: HistoryFilter, *, rate: float, reason: str, bundle_version: str | None = None
    ) -> Rescan:
        """Ask for a rescan of what is known now, by a bundle or by today's champion.

        Raises:
            UnknownBundleError, NoChampionError, NeverPromotedError, WithdrawnBundleError: the bundle cannot be named.
        """
        with self._database.transaction() as session:
            version = version_of(session, bundle_version)
            row = Rescan(
                filter=wanted.as_json(), bundle_version=version, rate=rate, reason=reason, requested_by=actor.name
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
        with self._database.transaction() as session:
            running = session.scalars(select(Rescan.id).where(Rescan.state == RescanState.RUNNING)).all()
            _, live_waits = backlog(session, LIVE_QUEUE)
        if live_waits > _LIVE_WAITS_SECONDS:
            return 0
        return sum(self._step(rescan_id) for rescan_id in running)

    def _step(self, rescan_id: int) -> int:
        with self._database.transaction() as session:
            locked = select(Rescan, func.extract("epoch", func.now() - Rescan.stepped_at)).where(
                Rescan.id == rescan_id, Rescan.state == RescanState.RUNNING
            )
            found = session.execute(locked.with_for_update(skip_locked=True)).one_or_none()
            if found is None:
                return 0
            rescan, seconds = found
            room = min(
                # Rates below one in so many seconds wait for their one.
                int(rescan.rate * min(float(seconds), max(_MOST_SECONDS, 1.5 / rescan.rate))),
                int(rescan.rate * _MOST_OPEN_SECONDS) + 1 - _open(session, rescan.bundle_version),
            )
            if room <= 0:
                return 0
            return _advance(session, rescan, room)


def _open(session: Session, version: str) -> int:
    waiting = select(func.count()).where(
        Scan.kind == ScanKind.RESCAN, Scan.bundle_version == version, Scan.state.in_(_OPEN), Scan.queue == BULK_QUEUE
    )
    return session.scalar(waiting) or 0


def _advance(session: Session, rescan: Rescan, room: int) -> int:
    examined = (
        select(Image.id)
        .where(Image.id > rescan.after_image)
        .order_by(Image.id)
        .limit(_EXAMINED_AT_ONCE)
        .cte("examined")
    )
    wanted = _wanted(rescan).join(examined, examined.c.id == Image.id).order_by(Image.id).limit(room)
    last, count = session.execute(select(func.max(examined.c.id), func.count()).select_from(examined)).one()
    chosen = session.scalars(wanted).all()
    if chosen:
        rows = [
            {"image_pk": image, "kind": ScanKind.RESCAN, "queue": BULK_QUEUE, "bundle_version": rescan.bundle_version}
            for image in chosen
        ]
        session.execute(insert(Scan), rows)
    # A full step may have stopped short of the last row that it looked at.
    stopped_short = len(chosen) == room
    upto = chosen[-1] if stopped_short else last
    if upto is not None:
        seen = select(func.count()).where(Image.id > rescan.after_image, Image.id <= upto)
        rescan.examined += session.scalar(seen) or 0
        rescan.after_image = upto
    rescan.queued += len(chosen)
    rescan.stepped_at = session.scalar(select(func.now())) or rescan.stepped_at
    if not stopped_short and count < _EXAMINED_AT_ONCE:
        rescan.state, rescan.finished_at = RescanState.COMPLETED, rescan.stepped_at
    return len(chosen)


def _wanted(rescan: Rescan) -> Select[int]:
    """Return the images that the filter names, were known when it was made, and are not done or under way."""
    asked = HistoryFilter.of(rescan.filter)
    served = served_verdict(Image.id, by_machine=True)
    newest = (
        select(Verdict.verdict, Verdict.bundle_version, Verdict.probability)
        .join(served, served.c.id == Verdict.id)
        .lateral("newest")
    )
    policy = select(func.max(Policy.version)).scalar_subquery()
    done, under_way = aliased(Verdict), aliased(Scan)
    judged_already = exists().where(
        done.image_pk == Image.id,
        done.bundle_version == rescan.bundle_version,
        done.policy_version == policy,
        done.shadow.is_(False),
        done.decided_by != DecidedBy.HUMAN,
    )
    open_already = exists().where(
        under_way.image_pk == Image.id,
        under_way.state.in_(_OPEN),
        # A live scan that is still to come takes the champion of then.
        (under_way.bundle_version == rescan.bundle_version) | (under_way.kind == ScanKind.LIVE),
        under_way.kind.not_in((ScanKind.SHADOW, ScanKind.HEATMAP)),
    )
    restrictions: dict[str, Callable[[Any], ColumnElement[bool]]] = {
        "source": lambda value: Image.source == value,
        "verdict": lambda value: newest.c.verdict == value,
        "judged_by": lambda value: newest.c.bundle_version == value,
        "since": lambda value: Image.created_at >= value,
        "until": lambda value: Image.created_at < value,
        "min_probability": lambda value: newest.c.probability >= value,
        "max_probability": lambda value: newest.c.probability <= value,
    }
    given = {name: value for name, value in vars(asked).items() if value is not None}
    chosen = [restrictions[name](value) for name, value in given.items()]
    return (
        select(Image.id)
        .outerjoin(newest, literal(value=True))
        .where(Image.erased_at.is_(None), Image.created_at < rescan.created_at, ~judged_already, ~open_already, *chosen)
    )
