"""An image's answer says what to do with it, by the policy that counts."""

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.outbox import Outbox
from worker.database.session import Database
from worker.database.tables import Image, ScanState
from worker.decisions.vocabulary import DecidedBy, VerdictValue

pytestmark = pytest.mark.integration


def test_the_policy_that_counts_says_what_to_do_with_an_image(
    services: Services, database: Database, rows: Rows
) -> None:
    headers = {"Authorization": f"Bearer {ApiKeys(database).create('platform', [Scope.ADMIN]).key}"}
    rows.verdict(rows.image("accused", source="uploads/avatars"), verdict=VerdictValue.AI_GENERATED)
    tagged = rows.image("tagged", source="uploads/avatars")
    rows.verdict(tagged, DecidedBy.DECLARED, verdict=VerdictValue.AI_GENERATED)
    rows.verdict(rows.image("unsure"))
    rows.verdict(rows.image("cleared"), verdict=VerdictValue.NOT_AI_GENERATED)
    rows.scan(rows.image("refused"), ScanState.REJECTED, reason="undecodable")
    rows.scan(rows.image("new"), ScanState.QUEUED, due_at="2030-01-01T00:00:00Z")

    with TestClient(create_app(services), headers=headers) as app:

        def actions() -> list[str | None]:
            ids = ("accused", "tagged", "unsure", "cleared", "refused", "new")
            return [app.get(f"/v1/images/{one}").json()["recommended_action"] for one in ids]

        assert actions() == ["label", "label", "review", "allow", "hold", None]
        stricter = {
            "false_positive_budget": 0.01,
            "miss_budget": 0.05,
            "actions": {"uncertain": "hold"},
            "by_source": {"uploads/avatars": {"actions": {"ai_generated": "hold"}}},
        }
        made = app.post("/v1/policies", json=stricter)
        assert made.status_code == 201, made.text
        assert made.json()["actions"] == {"uncertain": "hold"}
        assert actions() == ["hold", "label", "hold", "allow", "hold", None]
        kept = app.post("/v1/policies", json={"false_positive_budget": 0.02, "miss_budget": 0.05})
        assert kept.json()["actions"] == {"uncertain": "hold"}
        wrong = app.post("/v1/policies", json={**stricter, "actions": {"uncertain": "delete"}})
        assert wrong.status_code == 422


def test_a_webhook_recommends_by_what_is_served_not_by_what_it_tells_of(database: Database, rows: Rows) -> None:
    cleared, refused, judged = rows.image("cleared"), rows.image("refused"), rows.image("judged")
    rows.verdict(cleared, DecidedBy.HUMAN, verdict=VerdictValue.NOT_AI_GENERATED)
    rows.verdict(cleared, verdict=VerdictValue.AI_GENERATED)
    rows.scan(refused, ScanState.REJECTED, reason="undecodable")
    rows.verdict(judged, verdict=VerdictValue.NOT_AI_GENERATED)
    rows.scan(judged, ScanState.DEAD, reason="attempts_exhausted")  # a rescan, behind a verdict that stands
    outbox = Outbox(database)
    with database.transaction() as session:
        images = [session.get_one(Image, pk) for pk in (cleared, refused, judged)]
    assert [outbox.action(image) for image in images] == ["allow", "hold", "allow"]
