"""docker-compose.yml without an engine: its own commands, environments and health checks, from an image to its verdict.

Only what containers give (networks, mounted secrets, an interpreter named `python`) is replaced, by one declared map.
"""

import json
from collections.abc import Iterator
from urllib.parse import quote

import httpx2
import pytest

from infra.demo_images import photographs
from tests.support.assay_up import wait_until
from tests.support.compose_processes import OURS, ComposeProcesses

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

VERDICTS = {"ai_generated", "uncertain", "not_ai_generated"}


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeProcesses]:
    with ComposeProcesses(tmp_path_factory.mktemp("compose") / "run") as running:
        yield running


def key(compose: ComposeProcesses, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {(compose.secrets / name).read_text()}"}


def test_every_service_is_healthy_by_its_own_check(compose: ComposeProcesses) -> None:
    checked = [compose.services[name] for name in OURS if name != "setup"]
    assert all(service.health for service in checked)
    assert [service.name for service in checked if not compose.healthy(service)] == []


def test_an_image_in_the_bucket_gets_its_verdict(compose: ComposeProcesses) -> None:
    compose.s3.put_object(Bucket="uploads", Key="dir/a b+ü%.jpg", Body=photographs()[0].data)
    assert compose.wait_ended("dir/a b+ü%.jpg", 120).verdict in VERDICTS
    path = f"/v1/images/{quote('dir/a b+ü%.jpg', safe='')}"
    answer = httpx2.get(compose.url("api") + path, headers=key(compose, "admin_key"), timeout=10)
    assert answer.status_code == 200
    assert answer.json()["verdict"]["verdict"] in VERDICTS


def test_an_upload_gets_its_verdict_and_one_request_id_leads_from_the_api_to_the_worker(
    compose: ComposeProcesses,
) -> None:
    headers = {**key(compose, "admin_key"), "X-Request-Id": "request-of-this-test"}
    files = {"file": ("picture.jpg", photographs()[1].data, "image/jpeg")}
    answer = httpx2.post(f"{compose.url('api')}/v1/images", headers=headers, files=files, timeout=20)
    assert answer.status_code == 202
    image_id = answer.json()["image_id"]

    def served() -> bool:
        found = httpx2.get(
            f"{compose.url('api')}/v1/images/{quote(image_id, safe='')}", headers=key(compose, "admin_key"), timeout=10
        )
        return found.status_code == 200 and bool(found.json().get("verdict"))

    wait_until(served, 120, "the upload's verdict")
    registered = [line for line in compose.log("api") if line.get("event") in {"image_registered", "image_known"}]
    scan_ids = {line["scan_id"] for line in registered if line.get("request_id") == "request-of-this-test"}
    assert len(scan_ids) == 1
    ended = [line["scan_id"] for line in compose.log("worker") if line.get("event") == "scan_completed"]
    assert scan_ids <= set(ended)


def test_an_event_that_the_object_store_posts_is_taken_with_its_own_key_alone(compose: ComposeProcesses) -> None:
    body = photographs()[2].data
    stored = compose.s3.put_object(Bucket="uploads", Key="posted.jpg", Body=body)
    # As RustFS tells it; its webhook sends the token of `ingest_key` as a bearer.
    described = {"key": "posted.jpg", "size": len(body), "eTag": stored["ETag"], "versionId": stored["VersionId"]}
    event = {
        "EventName": "s3:ObjectCreated:Put",
        "Records": [
            {
                "eventSource": "rustfs:s3",
                "eventName": "s3:ObjectCreated:Put",
                "s3": {"bucket": {"name": "uploads"}, "object": described},
            }
        ],
    }

    def post(headers: dict[str, str]) -> httpx2.Response:
        return httpx2.post(f"{compose.url('api')}/v1/events/s3", headers=headers, json=event, timeout=10)

    assert post(key(compose, "ingest_key")).json() == {"registered": 1, "refused": 0, "missing": 0}
    assert post({"Authorization": "Bearer assay_wrong"}).status_code == 401
    # The store's key opens nothing else.
    looked = httpx2.get(f"{compose.url('api')}/v1/images/posted.jpg", headers=key(compose, "ingest_key"), timeout=10)
    assert looked.status_code == 403
    assert compose.wait_ended("posted.jpg", 120).verdict in VERDICTS


def test_the_doctor_finds_every_part_well_from_where_the_guide_sends_operators(compose: ComposeProcesses) -> None:
    done = compose.run("api", "python", "-m", "infra.cli", "doctor", "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [finding for finding in found if not finding["healthy"]] == []
    assert done.returncode == 0
    assert len(found) >= 12


def test_setup_changes_nothing_when_it_runs_again(compose: ComposeProcesses) -> None:
    done = compose.run("setup", *compose.services["setup"].command)
    assert done.returncode == 0
    assert "new keys: []; new buckets: []" in done.stderr


@pytest.mark.parametrize(
    ("service", "metric"),
    [
        ("api", "assay_api_requests_total"),
        ("dispatcher", "assay_backlog_oldest_seconds"),
        ("listener", "assay_events_total"),
        ("worker", "assay_verdicts_total"),
    ],
)
def test_every_process_tells_its_metrics(compose: ComposeProcesses, service: str, metric: str) -> None:
    door = "api" if service == "api" else "metrics"
    answer = httpx2.get(f"{compose.url(service, door)}/metrics", timeout=10)
    assert answer.status_code == 200
    assert f"\n{metric}{{" in answer.text


def test_flower_shows_nothing_without_its_password_not_even_metrics(compose: ComposeProcesses) -> None:
    login = (compose.secrets / "assay_flower_basic_auth").read_text()
    user, _, password = login.partition(":")
    base = compose.url("flower")
    assert httpx2.get(f"{base}/workers", timeout=10).status_code == 401
    assert httpx2.get(f"{base}/workers", auth=(user, password), timeout=20).status_code == 200
    assert httpx2.get(f"{base}/metrics", timeout=10).status_code in {401, 404}


def test_flower_names_each_task_so_that_an_operator_understands_it(compose: ComposeProcesses) -> None:
    compose.s3.put_object(Bucket="uploads", Key="for-flower.jpg", Body=photographs()[3].data)
    compose.wait_ended("for-flower.jpg", 120)
    user, _, password = (compose.secrets / "assay_flower_basic_auth").read_text().partition(":")

    def is_listed() -> bool:  # by the events that workers send
        answer = httpx2.get(f"{compose.url('flower')}/api/tasks", auth=(user, password), timeout=20)
        tasks = answer.json().values() if answer.status_code == 200 else ()
        return any(task["name"] == "assay.scan_image" and task["state"] == "SUCCESS" for task in tasks)

    wait_until(is_listed, 60, "Flower to tell of the task")
