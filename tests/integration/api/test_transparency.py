"""The transparency report agrees with the tables, counted here row by row in Python and not by its statements."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text

from api.client import Assay
from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import Rows, SignIn
from tests.unit.worker.database.test_statement import TERMS
from worker.database.api_keys import ApiKeys, Scope
from worker.database.appeals import Appeals
from worker.database.audit import Actor
from worker.database.labels import Labels
from worker.database.session import Database
from worker.database.tables import Appeal, Image, LabelValue, PlatformDecision, Verdict
from worker.decisions.vocabulary import DecidedBy, VerdictValue

pytestmark = pytest.mark.integration

SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
REPORT = "/v1/transparency-report?from=2026-01-01&to=2026-07-01"


@pytest.fixture
def client(services: Services, database: Database) -> Iterator[TestClient]:
    key = ApiKeys(database).create("platform", [Scope.ADMIN]).key
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


@pytest.fixture
def world(database: Database, rows: Rows, client: TestClient) -> Database:
    """Half a year with some of everything, and rows just before and after it."""
    days = [SINCE - timedelta(microseconds=1), SINCE, SINCE + timedelta(days=40), UNTIL - timedelta(seconds=1), UNTIL]
    values = list(VerdictValue)
    for number, day in enumerate(days * 3):
        # The first digits choose the audit slice; these are all in it.
        image = rows.image(f"i{number}", created_at=day, sha256=f"{number:056x}" + "0" * 8)
        made: dict[str, Any] = {"verdict": values[number % 3], "created_at": day + timedelta(seconds=number + 1)}
        rows.verdict(image, **made)
        if number % 4 == 0:
            rows.verdict(
                image, DecidedBy.HUMAN, **{**made, "verdict": VerdictValue.UNCERTAIN}, reviewer="a", reason="b"
            )
        if number % 2 == 0:
            terms = {**TERMS, "reviewed_by_person": number % 4 == 2 and number > 6}
            assert client.post(f"/v1/images/i{number}/decisions", json=terms).status_code == 201
        if number % 3:
            appeals = Appeals(database)
            case = appeals.add(Actor("p"), f"i{number}", reason="no", contact=None)
            assert case is not None
            if number % 5:
                decided = LabelValue.NOT_AI_GENERATED if number % 2 else LabelValue.AI_GENERATED
                appeals.decide(Actor("r"), case.appeal.id, decided, reviewer="lena", reason="x")
    with database.transaction() as session:
        session.execute(text("SET LOCAL assay.erasing = 'on'"))
        for table in ("appeal", "platform_decision"):
            session.execute(
                text(
                    f"UPDATE {table} SET created_at = image.created_at + interval '2 minutes' "  # noqa: S608
                    f"FROM image WHERE image.id = image_pk"
                )
            )
        session.execute(
            text(
                "UPDATE appeal SET decided_at = appeal.created_at + make_interval(hours => image_pk::int) "
                "WHERE decided_at IS NOT NULL"
            )
        )
    return database


def within(moment: datetime | None) -> bool:
    return moment is not None and SINCE <= moment < UNTIL


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def test_figures_of_images_agree_with_the_tables(client: TestClient, world: Database) -> None:
    found = client.get(REPORT).json()["images"]
    with world.transaction() as session:
        images = session.scalars(select(Image)).all()
        verdicts = session.scalars(select(Verdict).order_by(Verdict.id)).all()
    inside = [one for one in verdicts if within(one.created_at)]
    people = {one.image_pk for one in inside if one.decided_by == "human"}
    judged = {one.image_pk for one in inside}
    assert found["received"] == sum(within(one.created_at) for one in images) > 0
    assert (found["with_verdict"], found["by_people"], found["by_machines_alone"]) == (
        len(judged),
        len(people),
        len(judged - people),
    )
    assert found["automation_share"] == share(len(judged - people), len(judged))
    counts = Counter((one.decided_by, one.verdict) for one in inside)
    assert {(by, value): n for by, values in found["verdicts"].items() for value, n in values.items()} == counts
    first = {one.image_pk: one.created_at for one in reversed(verdicts)}
    waits = [(first[one.id] - one.created_at).total_seconds() for one in images if within(one.created_at)]
    assert found["median_seconds_to_verdict"] == pytest.approx(median(waits))


def test_figures_of_appeals_agree_with_the_tables(client: TestClient, world: Database) -> None:
    found = client.get(REPORT).json()["complaints"]
    with world.transaction() as session:
        appeals = session.scalars(select(Appeal)).all()
    decided = [one for one in appeals if within(one.decided_at)]
    states = Counter(one.state for one in decided)
    hours = [(one.decided_at - one.created_at).total_seconds() / 3600 for one in decided if one.decided_at]
    assert found == {
        "received": sum(within(one.created_at) for one in appeals),
        "decided": len(decided),
        "reversed": states["upheld"],
        "upheld": states["rejected"],
        "reversed_share": share(states["upheld"], len(decided)),
        "lapsed": 0,
        "open_at_end": sum(
            one.created_at < UNTIL and (one.decided_at is None or one.decided_at >= UNTIL) for one in appeals
        ),
        "median_hours_to_decision": pytest.approx(median(hours)),
    }
    assert min(states["upheld"], states["rejected"], found["open_at_end"]) > 0


def test_figures_of_measures_agree_with_the_statements(client: TestClient, world: Database) -> None:
    """Each decision's own statement says how automated it was."""
    found = client.get(REPORT).json()["own_initiative"]
    with world.transaction() as session:
        rows = session.execute(select(PlatformDecision, Image.image_id).join(Image)).all()
    inside = [(decision, image_id) for decision, image_id in rows if within(decision.created_at)]
    answers = [client.get(f"/v1/images/{image_id}/statement").json()["statement"] for _, image_id in inside]
    automation = Counter(answer["automated_decision"] for answer in answers)
    assert (found["decisions"], found["automated_detection"]) == (len(inside), len(answers))
    assert {name: count for name, count in found["automated_decision"].items() if count} == automation
    assert len(automation) == 2
    assert found["by_category"] == Counter(answer["category"] for answer in answers)
    assert found["by_ground"] == Counter(answer["decision_ground"] for answer in answers)
    assert found["by_source_type"] == Counter(answer["source_type"] for answer in answers)
    ways = Counter(way for answer in answers for way in answer.get("decision_visibility", []))
    assert {name: found["by_restriction"].get(name) for name in ways} == ways


def test_accuracy_is_that_of_the_audit_slice_in_the_period(client: TestClient, rows: Rows, database: Database) -> None:
    for number in range(12):
        day = SINCE + timedelta(days=1) if number < 10 else UNTIL
        image = rows.image(f"i{number}", created_at=day, sha256=f"{number:056x}" + "0" * 8)
        flagged = VerdictValue.AI_GENERATED if number % 5 == 0 else VerdictValue.NOT_AI_GENERATED
        rows.verdict(image, verdict=flagged, created_at=day)
        for reviewer in ("a", "b"):
            actor = Actor(reviewer, ApiKeys(database).create(reviewer, [Scope.REVIEW]).id)
            Labels(database).add(actor, f"i{number}", LabelValue.NOT_AI_GENERATED, reviewer=reviewer, reason="x")
    found = client.get(REPORT).json()["automated_means"]
    assert (found["contents"], found["agreed"], found["accuracy"]) == (10, 10, 0.8)
    assert (found["wrongly_accused"]["wrong"], found["wrongly_accused"]["images"]) == (2, 10)
    low, high = found["wrongly_accused"]["interval_95"]
    assert (low, high) == (pytest.approx(0.0252, abs=1e-3), pytest.approx(0.5561, abs=1e-3))
    assert found["wrongly_cleared"] == {"images": 0, "wrong": 0, "rate": None, "interval_95": None}


def test_an_empty_period_has_zeros_and_no_shares(client: TestClient) -> None:
    found = client.get(REPORT).json()
    assert (found["images"]["received"], found["images"]["automation_share"]) == (0, None)
    assert (found["complaints"]["decided"], found["complaints"]["median_hours_to_decision"]) == (0, None)
    assert (found["own_initiative"]["by_category"], found["automated_means"]["accuracy"]) == ({}, None)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "from=2026-01-01",
        "from=2026-01-01&to=2026-01-01",
        "from=2026-02-01&to=2026-01-01",
        "from=x&to=2026-01-01",
        "from=2020-01-01&to=2026-01-01",
        "from=2026-01-01&to=2026-02-01&by=day",
    ],
)
def test_what_is_no_period_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/v1/transparency-report?{query}").status_code == 422


def test_the_page_shows_the_same_figures(sign_in: SignIn, rows: Rows) -> None:
    for number in range(3):
        image = rows.image(f"i{number}", created_at=SINCE)
        rows.verdict(image, verdict=VerdictValue.AI_GENERATED, created_at=SINCE + timedelta(seconds=90))
    visitor, _ = sign_in(Scope.READ)
    shown = visitor.get("/console/transparency?from=2026-01-01&to=2026-07-01")
    assert shown.status_code == 200
    assert "<dt>Received</dt><dd>3</dd>" in shown.text
    assert "<dt>Median time to a verdict</dt><dd>2\N{NO-BREAK SPACE}min</dd>" in shown.text
    assert visitor.get("/console/transparency").status_code == 200
    assert visitor.get("/console/transparency?from=2026-07-01&to=2026-01-01").status_code == 422


def test_the_client_asks_for_days(client: TestClient) -> None:
    assay = Assay("http://testserver", "unused")
    assay._http = client  # type: ignore[assignment]
    answer: Any = assay.transparency_report(date(2026, 1, 1), date(2026, 7, 1))
    assert (answer["since"], answer["until"]) == ("2026-01-01", "2026-07-01")
