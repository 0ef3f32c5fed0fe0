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
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, Text, bindparam, func, literal, select, true, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from worker.store.session import Database
from worker.store.tables import Image, Verdict
from worker.words import VerdictValue

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
        """Return the whole percents that may hold matches; one more at each end for what floats do."""
        lowest = int((self.min_probability or 0.0) * 100) - 1
        highest = int((1.0 if self.max_probability is None else self.max_probability) * 100) + 1
        return max(lowest, 0), min(highest, _MOST_PERCENT)


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
        statement = search_statement(filters, limit=limit + 1, after=after)
        with self._database.transaction() as session:
            found = [(verdict, image) for verdict, image in session.execute(statement)]
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


def search_statement(filters: Filters, *, limit: int, after: Position | None) -> Select[Verdict, Image]:
    """Return the statement behind a page: at most ``limit`` rows."""
    page = _cut(filters, limit, after) if _needs_cutting(filters) else _newest(filters, limit, after, ())
    chosen = page.subquery()
    verdict, image = aliased(Verdict), aliased(Image)
    return (
        select(verdict, image)
        .join(chosen, chosen.c.id == verdict.id)
        .join(image, image.id == verdict.image_pk)
        .order_by(verdict.created_at.desc(), verdict.id.desc())
    )


def _needs_cutting(filters: Filters) -> bool:
    return filters.by_probability() or (filters.source is not None and filters.verdict is None)


def _cut(filters: Filters, limit: int, after: Position | None) -> Select[int, datetime]:
    values = [filters.verdict] if filters.verdict else list(VerdictValue)
    of_verdict = func.unnest(bindparam("verdicts", values, ARRAY(Text))).table_valued("verdict").render_derived()
    cuts: Any = of_verdict
    equalities: list[ColumnElement[bool]] = [Verdict.verdict == of_verdict.c.verdict]
    if filters.by_probability():
        lowest, highest = filters.percents()
        of_percent = func.generate_series(literal(lowest, Integer), literal(highest, Integer))
        percent = of_percent.table_valued("percent").render_derived()
        cuts = cuts.join(percent, true())
        equalities.append(Verdict.percent == percent.c.percent)
    few = _newest(filters, limit, after, equalities).lateral()
    newest: Select[int, datetime] = select(few.c.id, few.c.created_at).select_from(cuts.join(few, true()))
    return newest.order_by(few.c.created_at.desc(), few.c.id.desc()).limit(limit)


def _newest(
    filters: Filters, limit: int, after: Position | None, equalities: Sequence[ColumnElement[bool]]
) -> Select[int, datetime]:
    # As the indexes spell it: Postgres does not see that IS FALSE means the same.
    wanted: list[ColumnElement[bool]] = [~Verdict.shadow, *equalities]
    if filters.verdict and not equalities:
        wanted.append(Verdict.verdict == filters.verdict)
    if filters.source is not None:
        wanted.append(Verdict.source == filters.source)
    if filters.since is not None:
        wanted.append(Verdict.created_at >= filters.since)
    if filters.until is not None:
        wanted.append(Verdict.created_at < filters.until)
    if filters.min_probability is not None:
        wanted.append(Verdict.probability >= filters.min_probability)
    if filters.max_probability is not None:
        wanted.append(Verdict.probability <= filters.max_probability)
    if after is not None:
        wanted.append(tuple_(Verdict.created_at, Verdict.id) < tuple_(*after))
    newest_first = (Verdict.created_at.desc(), Verdict.id.desc())
    return select(Verdict.id, Verdict.created_at).where(*wanted).order_by(*newest_first).limit(limit)
