from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from tests.integration.api.conftest import BUNDLE
from worker.database.audit import Actor
from worker.database.dead_scans import DeadScans
from worker.database.served import SERVED, SERVED_AS_OF, Queries, history_statement, scans_statement
from worker.database.session import Database
from worker.database.tables import ScanKind, ScanState
from worker.decisions.vocabulary import DecidedBy

pytestmark = pytest.mark.integration

EARLY = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ACTOR = Actor("tests")


class Rows(Protocol):
    def image(self, image_id: str, **columns: Any) -> int: ...
    def scan(self, image_pk: int, state: ScanState = ..., **columns: Any) -> int: ...
    def verdict(self, image_pk: int, decided_by: DecidedBy = ..., **columns: Any) -> int: ...
    def heatmap(self, verdict_id: int, detector: str, **columns: Any) -> int: ...
    def policy(self) -> int: ...


@pytest.fixture
def dead_scans(database: Database) -> DeadScans:
    return DeadScans(database)


@pytest.fixture
def image_id(fresh_id: Callable[[], str]) -> str:
    return fresh_id()


def served_verdict(queries: Queries, image_id: str, as_of: datetime | None = None) -> int | None:
    served = queries.served(image_id, as_of)
    assert served is not None
    return served.verdict.id if served.verdict else None


def test_an_image_nobody_knows_has_nothing(queries: Queries, image_id: str) -> None:
    assert queries.served(image_id) is None
    assert queries.history(image_id, limit=5, shadow=True) is None
    assert queries.heatmap(image_id, "clip") is None


def test_an_image_without_a_verdict_shows_its_scan(queries: Queries, rows: Rows, image_id: str) -> None:
    scan = rows.scan(rows.image(image_id), ScanState.REJECTED, reason="undecodable")
    served = queries.served(image_id)
    assert served is not None
    assert served.scan is not None
    assert (None, scan, "undecodable") == (served.verdict, served.scan.id, served.scan.reason)
    assert queries.history(image_id, limit=5, shadow=True) == []


def test_the_newest_machine_verdict_is_served(queries: Queries, rows: Rows, image_id: str) -> None:
    image = rows.image(image_id)
    rows.verdict(image)
    newest = rows.verdict(image, policy_version=rows.policy())
    assert served_verdict(queries, image_id) == newest


def test_a_challengers_verdict_is_never_served(queries: Queries, rows: Rows, image_id: str) -> None:
    image = rows.image(image_id)
    rows.scan(image)
    live = rows.verdict(image)
    shadow = rows.verdict(image, shadow=True, policy_version=rows.policy())
    rows.scan(image, kind=ScanKind.SHADOW)
    rows.heatmap(shadow, "clip")
    served = queries.served(image_id)
    assert served is not None
    assert served.verdict is not None
    assert served.scan is not None
    assert (live, ScanKind.LIVE, []) == (served.verdict.id, served.scan.kind, served.heatmaps)
    assert queries.heatmap(image_id, "clip") is None
    assert [live] == [verdict.id for verdict, _ in queries.history(image_id, limit=5, shadow=False) or []]
    assert [shadow, live] == [verdict.id for verdict, _ in queries.history(image_id, limit=5, shadow=True) or []]


def test_a_newer_machine_verdict_replaces_a_signed_origin_that_counts_no_more(
    queries: Queries, rows: Rows, image_id: str
) -> None:
    image = rows.image(image_id)
    rows.verdict(image, DecidedBy.PROVENANCE)
    newer = rows.verdict(image, policy_version=rows.policy())
    assert served_verdict(queries, image_id) == newer


def test_people_outrank_whatever_came_later(queries: Queries, rows: Rows, image_id: str) -> None:
    image = rows.image(image_id)
    rows.verdict(image, DecidedBy.HUMAN)
    second_thought = rows.verdict(image, DecidedBy.HUMAN)
    rows.verdict(image, DecidedBy.PROVENANCE, policy_version=rows.policy())
    assert served_verdict(queries, image_id) == second_thought


def test_evidence_stays_in_sight_when_a_person_decides(queries: Queries, rows: Rows, image_id: str) -> None:
    image = rows.image(image_id)
    old, new = rows.verdict(image), rows.verdict(image, policy_version=rows.policy())
    rows.verdict(image, DecidedBy.HUMAN)
    for verdict, detector in ((old, "convnext"), (old, "clip"), (new, "clip")):
        rows.heatmap(verdict, detector)
    served, newest = queries.served(image_id), queries.heatmap(image_id, "clip")
    assert served is not None
    assert newest is not None
    assert newest.key == f"{new}/clip"
    common = {"method": "grad-cam", "layer": "ln_1", "bundle_version": BUNDLE, "raw_key": None}
    assert served.heatmaps == [
        {"detector": "clip", "key": f"{new}/clip", **common},
        {"detector": "convnext", "key": f"{old}/convnext", **common},
    ]


def test_the_frame_is_that_of_what_is_served_or_would_be_had_no_person_decided(
    queries: Queries, rows: Rows, image_id: str
) -> None:
    assert queries.frame(image_id) is None
    image = rows.image(image_id)
    rows.verdict(image, frame_key="old.png")
    rows.verdict(image, frame_key="new.png", policy_version=rows.policy())
    rows.verdict(image, frame_key="shadow.png", policy_version=rows.policy(), shadow=True)
    rows.verdict(image, DecidedBy.HUMAN)
    assert queries.frame(image_id) == "new.png"
    rows.verdict(image, policy_version=rows.policy())
    assert queries.frame(image_id) is None


def test_a_new_upload_of_the_same_id_is_what_counts(queries: Queries, rows: Rows, image_id: str) -> None:
    old = rows.verdict(rows.image(image_id))
    newer = rows.image(image_id, version="v2")
    assert served_verdict(queries, image_id) is None
    new = rows.verdict(newer)
    assert served_verdict(queries, image_id) == new
    history = queries.history(image_id, limit=5, shadow=False)
    assert [(new, "v2"), (old, "v")] == [(verdict.id, image.version) for verdict, image in history or []]


def test_an_erased_image_is_unknown_and_an_older_version_comes_forward(
    queries: Queries, rows: Rows, image_id: str
) -> None:
    rows.verdict(rows.image(image_id, erased_at=EARLY))
    assert queries.served(image_id) is None
    assert queries.history(image_id, limit=5, shadow=True) is None
    rows.image(image_id, version="v2")
    served = queries.served(image_id)
    assert served is not None
    assert served.image.version == "v2"
    assert queries.history(image_id, limit=5, shadow=True) == []


def test_as_of_gives_what_was_served_then(queries: Queries, rows: Rows, image_id: str) -> None:
    image = rows.image(image_id, created_at=EARLY)
    rows.scan(image)
    machine = rows.verdict(image, created_at=EARLY + DAY)
    rows.heatmap(machine, "clip", created_at=EARLY + 2 * DAY)
    human = rows.verdict(image, DecidedBy.HUMAN, created_at=EARLY + 3 * DAY)
    newer = rows.image(image_id, version="v2", created_at=EARLY + 4 * DAY)
    newest = rows.verdict(newer, created_at=EARLY + 4 * DAY)
    assert queries.served(image_id, EARLY - DAY) is None
    then = [EARLY, EARLY + DAY, EARLY + 2 * DAY, EARLY + 3 * DAY, EARLY + 4 * DAY]
    assert [None, machine, machine, human, newest] == [served_verdict(queries, image_id, time) for time in then]
    served = [queries.served(image_id, time) for time in then]
    assert [len(found.heatmaps) for found in served if found] == [0, 0, 1, 1, 0]
    assert all(found.scan is None for found in served if found)
    past = queries.history(image_id, limit=5, as_of=EARLY + 3 * DAY, shadow=False)
    assert [human, machine] == [verdict.id for verdict, _ in past or []]


@pytest.mark.parametrize("as_of", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_ends_of_time_are_times_too(queries: Queries, rows: Rows, image_id: str, as_of: datetime) -> None:
    rows.image(image_id)
    assert (queries.served(image_id, as_of) is None) == (as_of.year == 1)


def test_history_pages_go_on_where_the_last_one_ended(queries: Queries, rows: Rows, image_id: str) -> None:
    image = rows.image(image_id)
    made = [rows.verdict(image, DecidedBy.HUMAN) for _ in range(5)][::-1]
    first = queries.history(image_id, limit=2, shadow=False) or []
    second = queries.history(image_id, limit=9, before=first[-1][0].id, shadow=False) or []
    assert made == [verdict.id for verdict, _ in [*first, *second]]
    assert queries.history(image_id, limit=2, before=made[-1], shadow=False) == []


def test_a_dead_scan_is_listed_and_replayed_once(
    queries: Queries, dead_scans: DeadScans, rows: Rows, image_id: str
) -> None:
    scan = rows.scan(
        rows.image(image_id), ScanState.DEAD, attempts=5, lease_expiries=2, reason="attempts_exhausted", detail="x"
    )
    (listed,) = queries.scans(ScanState.DEAD, limit=1)
    assert (scan, image_id) == (listed[0].id, listed[1].image_id)
    assert dead_scans.replay(ACTOR, scan)
    replayed = queries.scan(scan)
    assert replayed is not None
    found = replayed[0]
    assert (
        found.state,
        found.attempts,
        found.lease_expiries,
        found.reason,
        found.finished_at,
    ) == (ScanState.QUEUED, 0, 2, None, None)
    assert found.due_at is not None
    assert not dead_scans.replay(ACTOR, scan)


def test_scans_that_are_not_dead_or_of_erased_images_are_not_replayed(
    queries: Queries, dead_scans: DeadScans, rows: Rows, image_id: str
) -> None:
    completed = rows.scan(rows.image(image_id))
    erased = rows.scan(rows.image(image_id, erased_at=EARLY), ScanState.DEAD)
    assert [dead_scans.replay(ACTOR, scan) for scan in (completed, erased)] == [False, False]
    assert queries.scan(erased) is None
    assert erased not in [scan.id for scan, _ in queries.scans(ScanState.DEAD, limit=200)]


THEN = {"image_id": "x", "as_of": EARLY}


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (SERVED, THEN),
        (SERVED_AS_OF, THEN),
        (history_statement("x", limit=50, before=None, as_of=None, shadow=False), {}),
        (history_statement("x", limit=50, before=9, as_of=EARLY, shadow=True), {}),
        (scans_statement(ScanState.DEAD, limit=50, before=None), {}),
    ],
)
def test_every_read_has_an_index(database: Database, statement: Any, values: dict[str, Any]) -> None:
    compiled = statement.compile(database.engine)
    used = {name: value for name, value in values.items() if name in compiled.binds}
    expanded = compiled.construct_expanded_state(used)
    with database.engine.connect() as connection:
        # Small tables are read whole, so whether an index could be used only shows when that is forbidden.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = [line for (line,) in connection.exec_driver_sql(f"EXPLAIN {expanded.statement}", expanded.parameters)]
    assert "Seq Scan" not in "\n".join(plan)
