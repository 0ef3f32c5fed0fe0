"""Training runs through the API: asked for once, watched, cancelled, their report read."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.services import Services
from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database
from worker.database.tables import RunState
from worker.database.training_leases import RunLease, TrainingLeases, complete

pytestmark = pytest.mark.integration

RUNS = "/v1/training-runs"


@pytest.fixture
def client(services: Services, database: Database) -> Iterator[TestClient]:
    key = ApiKeys(database).create("admin", [Scope.ADMIN]).key
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def claimed(database: Database) -> RunLease:
    lease = TrainingLeases(database).claim(60)
    assert lease is not None
    return lease


def test_a_second_run_of_a_recipe_is_refused_with_a_way_out(client: TestClient) -> None:
    assert client.post(RUNS, json={"recipe": "wild", "minutes": 5}).status_code == 202
    refused = client.post(RUNS, json={"recipe": "wild"})
    assert refused.status_code == 409
    assert refused.json()["detail"] == (
        "Run 1 of recipe wild is active: wait for it, cancel it, or send `allow_parallel`."
    )
    assert client.post(RUNS, json={"recipe": "wild", "allow_parallel": True}).status_code == 202


@pytest.mark.parametrize(
    "wrong",
    [
        {"recipe": "../../etc/passwd"},
        {"recipe": "/etc/wild"},
        {"recipe": "wild", "parameters": {}},
        {"recipe": "wild", "minutes": 0},
        {"recipe": "wild", "shadow_share": 2},
    ],
)
def test_what_cannot_be_trained_is_refused(client: TestClient, wrong: dict[str, object]) -> None:
    assert client.post(RUNS, json=wrong).status_code == 422


def test_a_run_is_watched_to_its_end_by_polling_and_as_a_stream(client: TestClient, database: Database) -> None:
    run_id = client.post(RUNS, json={"recipe": "wild"}).json()["id"]
    leases, lease = TrainingLeases(database), claimed(database)
    leases.tell(lease, "progress", {"stage": "fit", "done": 0.5, "loss": 0.25})
    first = client.get(f"{RUNS}/{run_id}/events").json()
    assert [event["kind"] for event in first["items"]] == ["state", "state", "progress"]
    assert not first["ended"]
    assert client.get(f"{RUNS}/{run_id}").json()["progress"]["loss"] == 0.25
    leases.end(lease, RunState.FAILED, "no data")
    rest = client.get(f"{RUNS}/{run_id}/events", params={"after": first["next_after"]}).json()
    assert ([event["data"]["detail"] for event in rest["items"]], rest["ended"]) == (["no data"], True)
    last = {"Accept": "text/event-stream", "Last-Event-ID": str(first["next_after"])}
    stream = client.get(f"{RUNS}/{run_id}/events", headers=last)
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.text.count("event: state") == 1
    assert stream.text.endswith("event: end\ndata: {}\n\n")


def test_a_running_run_is_asked_to_end_and_a_queued_one_ends_at_once(client: TestClient, database: Database) -> None:
    running = client.post(RUNS, json={"recipe": "wild"}).json()["id"]
    lease = claimed(database)
    queued = client.post(RUNS, json={"recipe": "cifake"}).json()["id"]
    assert client.post(f"{RUNS}/{running}/cancel").json()["state"] == "running"
    assert client.post(f"{RUNS}/{queued}/cancel").json()["state"] == "cancelled"
    assert TrainingLeases(database).beat(lease, 60) is True
    assert client.post(f"{RUNS}/{queued}/cancel").status_code == 409


def test_the_gates_report_is_read_as_json_and_as_a_page(client: TestClient, database: Database) -> None:
    run_id = client.post(RUNS, json={"recipe": "wild"}).json()["id"]
    assert client.get(f"{RUNS}/{run_id}/report").status_code == 404
    lease, report = claimed(database), {"passed": False, "rules": [{"name": "another bundle", "passed": False}]}
    with database.transaction() as session:
        complete(session, lease, bundle_version=None, report=report, artifacts="bundles/x/run/", detail="stopped")
    assert client.get(f"{RUNS}/{run_id}").json()["gate_passed"] is False
    assert client.get(f"{RUNS}/{run_id}/report").json() == report
    page = client.get(f"{RUNS}/{run_id}/report", params={"form": "html"}, follow_redirects=False)
    assert page.status_code == 307
    assert "/bundles/x/run/gate.html?" in page.headers["location"]
