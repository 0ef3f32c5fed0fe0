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

from worker.database.session import Database, compiled
from worker.database.tables import Image, Verdict
from worker.decisions.vocabulary import VerdictValue

_MOST_PERCENT = 99


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
        """Return a page.

        Verdicts of erased images are left out, so a page may hold fewer than
        ``limit`` and still have a next one.
        """
        values = search_values(filters, limit=limit + 1, after=after)
        statement = search_statement(frozenset(values))
        with self._database.transaction() as session:
            found = [(verdict, image) for verdict, image in session.execute(statement, values)]
        rows = [(verdict, image) for verdict, image in found[:limit] if image.erased_at is None]
        return Page(rows, _position(found[limit - 1][0]) if len(found) > limit else None)

    def verdict(self, verdict_id: int) -> tuple[Verdict, Image] | None:
        """Return one verdict with its image, or None when it is unknown or the image is erased."""
        one = (
            select(Verdict, Image)
            .join(Image, Verdict.image_pk == Image.id)
            .where(Verdict.id == verdict_id, Image.erased_at.is_(None))
        )
        with self._database.transaction() as session:
            found = session.execute(one).one_or_none()
        return (found[0], found[1]) if found else None


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
    page = _cut(named) if _needs_cutting(named) else _newest(named, ())
    chosen = page.subquery()
    verdict, image = aliased(Verdict), aliased(Image)
    return compiled(
        select(verdict, image)
        .join(chosen, chosen.c.id == verdict.id)
        .join(image, image.id == verdict.image_pk)
        .order_by(verdict.created_at.desc(), verdict.id.desc())
    )


def _needs_cutting(named: frozenset[str]) -> bool:
    return "lowest" in named or ("source" in named and "verdict" not in named)


def _cut(named: frozenset[str]) -> Select[int, datetime]:
    """Cut a search into equalities, and take the newest of the newest of each."""
    wanted: list[Any] = (
        [_value("verdict")] if "verdict" in named else [literal(value.value, Text) for value in VerdictValue]
    )
    values: array[str] = array(wanted, type_=Text)
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
    # As the indexes spell it: Postgres does not see that IS FALSE means the same.
    wanted = [~Verdict.shadow, *equalities, *(what for name, what in restrictions.items() if name in named)]
    newest_first = (Verdict.created_at.desc(), Verdict.id.desc())
    return select(Verdict.id, Verdict.created_at).where(*wanted).order_by(*newest_first).limit(_value("limit"))


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
