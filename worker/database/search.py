"""Search over all verdicts, newest first, by verdict, source, time and probability.

A page is read from an index in the order it is shown, whatever the filters:
where one of them is not an equality (any verdict, a range of probabilities),
the search is cut into equalities, a few rows are read of each, and the newest
of those are the page. So a search that finds nothing costs no more than one
that finds everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    DateTime,
    Double,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import aliased
from sqlalchemy.types import TypeEngine

from worker.database.serving_rule import served_verdict
from worker.database.session import Database, compiled
from worker.database.tables import Image, Verdict
from worker.decisions.vocabulary import VerdictValue

_MOST_PERCENT = 99
_SERVED = frozenset({"served"})


class Position(NamedTuple):
    """Where a page ends: the next one holds what is older."""

    created_at: datetime
    id: int


@dataclass(frozen=True)
class Filters:
    """What is searched for; None is no restriction.

    Attributes:
        verdict: this verdict alone.
        source: exactly this source.
        since: made at or after this time.
        until: made before this time.
        min_probability: at least this probable; verdicts without a probability are left out.
        max_probability: at most this probable, likewise.
    """

    verdict: VerdictValue | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_probability: float | None = None
    max_probability: float | None = None

    def by_probability(self) -> bool:
        """Tell whether the probability is restricted."""
        return self.min_probability is not None or self.max_probability is not None

    def percents(self) -> tuple[int, int]:
        """Return the whole percents that may hold matches, reckoned in doubles as the column is."""
        lowest = int((self.min_probability or 0.0) * 100)
        highest = int((1.0 if self.max_probability is None else self.max_probability) * 100)
        return min(lowest, _MOST_PERCENT), min(highest, _MOST_PERCENT)


@dataclass(frozen=True)
class Page:
    """Verdicts with their images, newest first, and where the next page begins, if there is one."""

    rows: Sequence[tuple[Verdict, Image]]
    next: Position | None


class Search:
    """Searches verdicts that are no challenger's."""

    def __init__(self, database: Database) -> None:
        # As in Queries: one statement needs no transaction around it.
        self._database = Database(database.engine.execution_options(isolation_level="AUTOCOMMIT"))

    def __call__(self, filters: Filters, *, limit: int, after: Position | None = None) -> Page:
        """Return a page of verdicts with their images, newest first.

        Verdicts of erased images are left out, so a page may hold fewer than
        ``limit`` and still have a next one.
        """
        values = search_values(filters, limit=limit + 1, after=after)
        statement = search_statement(frozenset(values))
        with self._database.transaction() as session:
            newest = [(verdict, image) for verdict, image in session.execute(statement, values)]
        rows = [(verdict, image) for verdict, image in newest[:limit] if image.erased_at is None]
        return Page(rows, _position(newest[limit - 1][0]) if len(newest) > limit else None)

    def served(self, filters: Filters, *, limit: int, after: Position | None = None) -> Page:
        """Return a page of images, each once, at the verdict that is served for its newest version."""
        values = search_values(filters, limit=limit + 1, after=after)
        with self._database.transaction() as session:
            matches = session.execute(search_statement(frozenset(values) | _SERVED), values)
            rows = [(verdict, image) for verdict, image in matches]
        return Page(rows[:limit], _position(rows[limit - 1][0]) if len(rows) > limit else None)

    def count_served(self, filters: Filters, *, most: int) -> int:
        """Return how many images :meth:`served` would list, counted up to ``most``."""
        values = search_values(filters, limit=most, after=None)
        with self._database.transaction() as session:
            return session.scalar(count_statement(frozenset(values) | _SERVED), values) or 0

    def verdict(self, verdict_id: int) -> tuple[Verdict, Image] | None:
        """Return one verdict with its image, or None when it is unknown or the image is erased."""
        one = (
            select(Verdict, Image)
            .join(Image, Verdict.image_pk == Image.id)
            .where(Verdict.id == verdict_id, Image.erased_at.is_(None))
        )
        with self._database.transaction() as session:
            row = session.execute(one).one_or_none()
        return (row[0], row[1]) if row else None


def _position(last: Verdict) -> Position:
    return Position(last.created_at, last.id)


def search_values(filters: Filters, *, limit: int, after: Position | None) -> dict[str, Any]:
    """Return the values that a page's statement is executed with; they also tell which statement it is."""
    lowest, highest = filters.percents()
    restricted = {
        "verdict": filters.verdict,
        "source": filters.source,
        "since": filters.since,
        "until": filters.until,
        "min_probability": filters.min_probability,
        "max_probability": filters.max_probability,
        "after_time": after and after.created_at,
        "after_id": after and after.id,
        "lowest": lowest if filters.by_probability() else None,
        "highest": highest if filters.by_probability() else None,
    }
    return {name: value for name, value in restricted.items() if value is not None} | {"limit": limit}


@cache
def search_statement(named: frozenset[str]) -> Select[Verdict, Image]:
    """Return the statement behind a page, by the names of the values that it takes.

    There are some two hundred of them, built once each: building one takes
    longer than Postgres takes to answer it.
    """
    chosen = _chosen(named).subquery()
    verdict, image = aliased(Verdict), aliased(Image)
    return compiled(
        select(verdict, image)
        .join(chosen, chosen.c.id == verdict.id)
        .join(image, image.id == verdict.image_pk)
        .order_by(verdict.created_at.desc(), verdict.id.desc())
    )


@cache
def count_statement(named: frozenset[str]) -> Select[int]:
    """Return the statement that counts what a page of `limit` rows would hold."""
    return compiled(select(func.count()).select_from(_chosen(named).subquery()))


def _chosen(named: frozenset[str]) -> Select[int, datetime]:
    return _cut(named) if _needs_cutting(named) else _newest(named, ())


def _needs_cutting(named: frozenset[str]) -> bool:
    return "lowest" in named or ("source" in named and "verdict" not in named)


def _cut(named: frozenset[str]) -> Select[int, datetime]:
    """Cut a search into equalities, and take the newest of the newest of each."""
    cells: list[Any] = (
        [_value("verdict")] if "verdict" in named else [literal(value.value, Text) for value in VerdictValue]
    )
    values: array[str] = array(cells, type_=Text)
    of_verdict = func.unnest(values).table_valued("verdict").render_derived()
    cuts: Any = of_verdict
    equalities: list[ColumnElement[bool]] = [Verdict.verdict == of_verdict.c.verdict]
    if "lowest" in named:
        percents = func.generate_series(_value("lowest"), _value("highest"))
        percent = percents.table_valued("percent").render_derived()
        cuts = cuts.join(percent, true())
        equalities.append(Verdict.percent == percent.c.percent)
    few = _newest(named, equalities).lateral()
    newest: Select[int, datetime] = select(few.c.id, few.c.created_at).select_from(cuts.join(few, true()))
    return newest.order_by(few.c.created_at.desc(), few.c.id.desc()).limit(_value("limit"))


def _newest(named: frozenset[str], equalities: Sequence[ColumnElement[bool]]) -> Select[int, datetime]:
    restrictions: dict[str, ColumnElement[bool]] = {
        "source": Verdict.source == _value("source"),
        "since": Verdict.created_at >= _value("since"),
        "until": Verdict.created_at < _value("until"),
        "min_probability": Verdict.probability >= _value("min_probability"),
        "max_probability": Verdict.probability <= _value("max_probability"),
        "after_id": tuple_(Verdict.created_at, Verdict.id) < tuple_(_value("after_time"), _value("after_id")),
    }
    if not equalities:
        restrictions["verdict"] = Verdict.verdict == _value("verdict")
    if named >= _SERVED:
        restrictions["served"] = _is_served()
    # As the indexes spell it: Postgres does not see that IS FALSE means the same.
    conditions = [~Verdict.shadow, *equalities, *(what for name, what in restrictions.items() if name in named)]
    newest_first = (Verdict.created_at.desc(), Verdict.id.desc())
    return select(Verdict.id, Verdict.created_at).where(*conditions).order_by(*newest_first).limit(_value("limit"))


def _is_served() -> ColumnElement[bool]:
    """Return the condition that a verdict is what is served for an image: for its newest version, and not erased."""
    served = served_verdict(Verdict.image_pk)
    own, other = aliased(Image), aliased(Image)
    newer = (
        select(other.id)
        .where(other.image_id == own.image_id, other.erased_at.is_(None))
        .where(tuple_(other.confirmed, other.stored_at, other.id) > tuple_(own.confirmed, own.stored_at, own.id))
    )
    newest = select(own.id).where(own.id == Verdict.image_pk, own.erased_at.is_(None), ~newer.exists())
    return and_(Verdict.id == select(served.c.id).correlate(Verdict).scalar_subquery(), newest.exists())


def _value(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=_TYPES[name])


_TIME = DateTime(timezone=True)
_TYPES: dict[str, TypeEngine[Any]] = {
    "verdict": Text(),
    "source": Text(),
    "since": _TIME,
    "until": _TIME,
    "min_probability": Double(),
    "max_probability": Double(),
    "after_time": _TIME,
    "after_id": BigInteger(),
    "lowest": Integer(),
    "highest": Integer(),
    "limit": Integer(),
}
