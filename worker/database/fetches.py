"""Fetches in Postgres: asked for, leased, and ended; a worker that dies leaves its fetch to the next one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.audit import Actor, record
from worker.database.callbacks import CallbackTarget
from worker.database.clock import from_now
from worker.database.driver_statement import DriverStatement
from worker.database.session import Database
from worker.database.tables import Fetch
from worker.decisions.fetching import FetchReason, FetchState, wait_after
from worker.decisions.priority import Priority
from worker.errors import AssayError

_OPEN = (FetchState.QUEUED, FetchState.LEASED)
_ANY_DUE = DriverStatement(
    text("SELECT EXISTS (SELECT FROM url_fetch WHERE state IN ('queued', 'leased') AND due_at <= now())")
)
# Longer than one attempt takes: download, storing and registering, each within its own limit.
LEASE_SECONDS = 180.0
_SOONER = text("interval '1 day'")


class NotFailedError(AssayError):
    """This fetch has not failed, so there is nothing to do again."""


@dataclass(frozen=True)
class NewFetch:
    """A file that a platform names by its address."""

    image_id: str
    url: str
    source: str | None = None


@dataclass(frozen=True)
class FetchLease:
    """A fetch in one worker's hand."""

    fetch: Fetch
    token: UUID


class Fetches:
    """The table of fetches; times are the database's own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, actor: Actor, files: Sequence[NewFetch], priority: Priority, callback: CallbackTarget | None = None
    ) -> list[tuple[int, bool]]:
        """Ask for files; return for each its fetch and whether that is new. One that is open already is not doubled."""
        if not files:
            return []
        due = func.now() - _SOONER if priority is Priority.HIGH else func.now()
        shared: dict[str, Any] = {"priority": priority, "api_key_id": actor.api_key_id, "due_at": due}
        if callback is not None:
            shared |= {"endpoint_id": callback.endpoint_id, "callback_url": callback.url}
        with self._database.transaction() as session:
            # In one order everywhere, so that two that ask for the same wait for each other and do not block.
            distinct = sorted({(one.image_id, one.url): one for one in files}.items())
            rows = [{**vars(one), **shared} for _, one in distinct]
            new = upsert(Fetch).values(rows).on_conflict_do_nothing().returning(Fetch.image_id, Fetch.url, Fetch.id)
            made = _by_file(session.execute(new))
            ids = {image_id for (image_id, url), _ in distinct if (image_id, url) not in made}
            # The newest of each, open or just ended by a worker.
            there = select(Fetch.image_id, Fetch.url, Fetch.id).where(Fetch.image_id.in_(ids)).order_by(Fetch.id)
            either = {**_by_file(session.execute(there)), **made}
            record(session, actor, "fetch.add", "fetch", count=len(made), priority=priority)
        return [(either[one.image_id, one.url], (one.image_id, one.url) in made) for one in files]

    def take(self, most: int) -> list[FetchLease]:
        """Take what is due, the longest overdue first, under a lease; count the attempt."""
        if not self._database.fetch_value(_ANY_DUE):  # all that a worker asks each second while nothing happens
            return []
        token = uuid4()
        due = (
            select(Fetch.id, Fetch.due_at)
            .where(Fetch.state.in_(_OPEN), Fetch.due_at <= func.now())
            .order_by(Fetch.due_at)
            .limit(most)
            .with_for_update(skip_locked=True)
            .cte("due")
            .prefix_with("MATERIALIZED")
        )
        leased = {"state": FetchState.LEASED, "lease_token": token, "due_at": from_now(LEASE_SECONDS)}
        taken = (
            update(Fetch)
            .where(Fetch.id == due.c.id)
            .values(**leased, attempts=Fetch.attempts + 1)
            .returning(Fetch, due.c.due_at)
        )
        with self._database.statement() as session:
            rows = session.execute(taken).all()
        return [FetchLease(fetch, token) for fetch, _ in sorted(rows, key=lambda row: row[1])]

    def done(self, lease: FetchLease, image_pk: int) -> bool:
        """Write that a fetched file is an image now; False where another worker holds the fetch."""
        return self._end(lease, {"state": FetchState.DONE, "image_pk": image_pk, "reason": None, "detail": None})

    def fail(self, lease: FetchLease, reason: FetchReason, detail: str) -> bool:
        """Write that a file cannot be had, which callbacks, webhooks and the feed tell; False as for :meth:`done`."""
        return self._end(lease, {"state": FetchState.FAILED, "reason": reason, "detail": detail[:500]})

    def try_later(self, lease: FetchLease, detail: str, *, ours: bool) -> float | None:
        """Give a fetch back for another attempt, or end it after the last one.

        Args:
            lease: of the attempt that failed.
            detail: one line for people; no secrets.
            ours: a part of Assay is out of reach; that is waited out and counts as no attempt.

        Returns:
            Seconds until the next attempt; None where there is none.
        """
        wait = 5.0 if ours else wait_after(lease.fetch.attempts)
        if wait is None:
            self.fail(lease, FetchReason.UNREACHABLE, detail)
            return None
        again: dict[str, Any] = {"state": FetchState.QUEUED, "lease_token": None, "due_at": from_now(wait)}
        counted = {"attempts": Fetch.attempts - 1} if ours else {}
        with self._database.statement() as session:
            session.execute(_mine(lease).values(**again, **counted, detail=detail[:500]))
        return wait

    def get(self, fetch_id: int) -> Fetch | None:
        """Return one fetch."""
        with self._database.transaction() as session:
            return session.get(Fetch, fetch_id)

    def page(self, state: FetchState, *, limit: int, before: int | None = None) -> Sequence[Fetch]:
        """Return fetches of a state, newest first, those with ids below ``before``."""
        page = select(Fetch).where(Fetch.state == state)
        if before is not None:
            page = page.where(Fetch.id < before)
        with self._database.transaction() as session:
            return session.scalars(page.order_by(Fetch.id.desc()).limit(limit)).all()

    def replay(self, actor: Actor, fetch_id: int) -> Fetch | None:
        """Queue a failed fetch again with all its attempts; None when it is unknown.

        Raises:
            NotFailedError: it has not failed, or the same file is being fetched by another one.
        """
        again = {"state": FetchState.QUEUED, "attempts": 0, "due_at": func.now(), "reason": None, "finished_at": None}
        with self._database.transaction() as session:
            fetch = session.get(Fetch, fetch_id, with_for_update=True)
            if fetch is None:
                return None
            same = select(Fetch.id).where(Fetch.image_id == fetch.image_id, Fetch.url == fetch.url)
            if fetch.state != FetchState.FAILED or session.scalar(same.where(Fetch.state.in_(_OPEN))):
                raise NotFailedError
            session.execute(update(Fetch).where(Fetch.id == fetch_id).values(**again))
            session.refresh(fetch)
            record(session, actor, "fetch.replay", f"fetch:{fetch_id}")
        return fetch

    def drop(self, days: int, *, most: int) -> int:
        """Drop fetches that ended so many days ago; return how many."""
        age = func.now() - func.make_interval(0, 0, 0, days)
        old = select(Fetch.id).where(Fetch.finished_at < age).order_by(Fetch.finished_at).limit(most)
        with self._database.transaction() as session:
            dropped = delete(Fetch).where(Fetch.id.in_(old.scalar_subquery())).returning(Fetch.id)
            return len(session.scalars(dropped).all())

    def _end(self, lease: FetchLease, end: Mapping[str, Any]) -> bool:
        ended = _mine(lease).values(**end, due_at=None, lease_token=None, finished_at=func.now())
        with self._database.statement() as session:
            return session.scalar(ended.returning(Fetch.id)) is not None


def _mine(lease: FetchLease) -> Any:
    return update(Fetch).where(Fetch.id == lease.fetch.id, Fetch.lease_token == lease.token)


def _by_file(rows: Iterable[Any]) -> dict[tuple[str, str], int]:
    return {(image_id, url): fetch_id for image_id, url, fetch_id in rows}
