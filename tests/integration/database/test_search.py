"""Search finds exactly what a plain look at every row finds, page by page, from an index."""

import random
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.api.conftest import Rows
from worker.database.search import Filters, Position, Search, search_statement, search_values
from worker.database.session import Database
from worker.database.tables import Image, Verdict
from worker.decisions.vocabulary import DecidedBy, VerdictValue

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 1, tzinfo=UTC)
EDGES = (0.0, 0.29, 0.57, 0.58, 0.9999999, 1.0)


@pytest.fixture
def search(database: Database) -> Search:
    return Search(database)


@pytest.fixture
def filled(rows: Rows, database: Database) -> list[Verdict]:
    """Verdicts of any kind, several of them made at the same moment."""
    chance = random.Random(4)  # noqa: S311 - no secret.
    for number in range(60):
        image = rows.image(f"i{number}", source=chance.choice(["a", "b"]))
        made: dict[str, Any] = {
            "verdict": chance.choice(list(VerdictValue)),
            "created_at": START + timedelta(hours=chance.randrange(20)),
        }
        if number % 7 == 0:
            rows.verdict(image, DecidedBy.HUMAN, **made)
        else:
            p = chance.choice([*EDGES, round(chance.random(), 3)])
            rows.verdict(image, probability=p, shadow=number % 5 == 0, **made)
    with database.transaction() as session:
        return list(session.query(Verdict))


def expected(rows: list[Verdict], filters: Filters) -> list[int]:
    def wanted(row: Verdict) -> bool:
        low, high = filters.min_probability, filters.max_probability
        return not (
            row.shadow
            or (filters.verdict and row.verdict != filters.verdict)
            or (filters.source and row.source != filters.source)
            or (filters.since and row.created_at < filters.since)
            or (filters.until and row.created_at >= filters.until)
            or (low is not None and (row.probability is None or row.probability < low))
            or (high is not None and (row.probability is None or row.probability > high))
        )

    return [row.id for row in sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True) if wanted(row)]


def all_pages(search: Search, filters: Filters, limit: int) -> list[int]:
    found: list[int] = []
    after: Position | None = None
    while True:
        page = search(filters, limit=limit, after=after)
        found += [verdict.id for verdict, _ in page.rows]
        if page.next is None:
            return found
        after = page.next


def test_any_filters_find_what_a_look_at_every_row_finds(search: Search, filled: list[Verdict]) -> None:
    times = (None, START + timedelta(hours=6))
    later = (None, START + timedelta(hours=15))
    bounds = ((None, None), (0.29, None), (None, 0.57), (0.58, 0.58), (0.0, 1.0), (0.9999999, 1.0), (0.31, 0.305))
    some = 0
    for verdict, source, since, until, (low, high) in product(
        (None, VerdictValue.UNCERTAIN), (None, "a", "nowhere"), times, later, bounds
    ):
        filters = Filters(verdict, source, since, until, low, high)
        wanted = expected(filled, filters)
        some += len(wanted)
        assert all_pages(search, filters, 7) == wanted, filters
    assert some > 500


def test_pages_stay_where_they_are_when_newer_verdicts_come(search: Search, filled: list[Verdict], rows: Rows) -> None:
    first = search(Filters(), limit=5)
    rows.verdict(rows.image("new"), created_at=START + timedelta(days=9))
    rest = search(Filters(), limit=200, after=first.next)
    found = [verdict.id for verdict, _ in [*first.rows, *rest.rows]]
    assert found == expected(filled, Filters())


def test_a_verdict_knows_its_images_source_whoever_wrote_it(rows: Rows, search: Search) -> None:
    verdict = rows.verdict(rows.image("cat", source="avatars"))
    found = search.verdict(verdict)
    assert found is not None
    assert found[0].source == "avatars"
    assert search.verdict(2**62) is None


def test_verdicts_of_erased_images_are_not_found(rows: Rows, search: Search, database: Database) -> None:
    verdict = rows.verdict(rows.image("cat"))
    with database.transaction() as session:
        session.query(Image).update({"erased_at": START})
    assert (search(Filters(), limit=5).rows, search.verdict(verdict)) == ([], None)


@pytest.mark.parametrize("verdict", [None, VerdictValue.UNCERTAIN])
@pytest.mark.parametrize("source", [None, "a"])
@pytest.mark.parametrize("low", [None, 0.3])
@pytest.mark.parametrize("since", [None, START])
def test_every_search_is_read_from_an_index_in_its_order(
    database: Database, verdict: VerdictValue | None, source: str | None, low: float | None, since: datetime | None
) -> None:
    values: dict[str, Any] = search_values(
        Filters(verdict, source, since, None, low), limit=51, after=Position(START, 9)
    )
    compiled = search_statement(frozenset(values)).compile(database.engine)
    with database.engine.connect() as connection:
        for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
            connection.execute(text(f"SET LOCAL {setting} = off"))
        plan = "\n".join(
            line for (line,) in connection.exec_driver_sql(f"EXPLAIN {compiled}", {**compiled.params, **values})
        )
    assert "Seq Scan" not in plan
    expected_index = {
        (False, False): "ix_verdict_search on",
        (False, True): "ix_verdict_search_percent",
        (True, False): "ix_verdict_search_source on",
        (True, True): "ix_verdict_search_source_percent",
    }[source is not None, low is not None]
    if verdict or source or low is not None:
        assert expected_index in plan
