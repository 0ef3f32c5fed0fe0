import pytest
from fastapi.testclient import TestClient

from api.auth import REMEMBER_SECONDS, KeyRing
from tests.support.api_world import FakeClock, FakeKeys, World
from worker.database.api_keys import Scope
from worker.errors import TransientError

URL = "/v1/scans?state=dead"


def test_without_a_key_the_answer_is_401_and_says_how(client: TestClient) -> None:
    response = client.get(URL, headers={"Authorization": ""})
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert response.json()["detail"].startswith("No API key")


@pytest.mark.parametrize("authorization", ["Bearer assay_unknown", "Basic YTpi", "Bearer", "assay_read"])
def test_a_key_that_is_not_good_gets_401(client: TestClient, authorization: str) -> None:
    assert client.get(URL, headers={"Authorization": authorization}).status_code == 401


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer assay_read"}, {"X-API-Key": "assay_read"}])
def test_both_ways_to_show_a_key_work(world: World, client: TestClient, headers: dict[str, str]) -> None:
    del client.headers["Authorization"]
    assert client.get(URL, headers=headers).status_code == 200
    assert world.keys.asked == 1


def test_a_missing_scope_is_403_and_named(client: TestClient) -> None:
    response = client.post("/v1/scans/1/replay", headers={"Authorization": "Bearer assay_read"})
    assert (response.status_code, response.json()["missing_scope"]) == (403, "admin")


@pytest.mark.parametrize(
    ("method", "url", "scope"),
    [
        ("POST", "/v1/images", Scope.INGEST),
        ("POST", "/v1/events/s3", Scope.INGEST),
        ("GET", "/v1/images/cat", Scope.READ),
        ("GET", "/v1/images/cat/verdicts", Scope.READ),
        ("GET", "/v1/images/cat/heatmap?detector=clip", Scope.READ),
        ("GET", URL, Scope.READ),
        ("POST", "/v1/scans/1/replay", Scope.ADMIN),
    ],
)
def test_each_route_asks_for_its_own_scope(client: TestClient, method: str, url: str, scope: Scope) -> None:
    statuses = {
        other: client.request(method, url, headers={"Authorization": f"Bearer assay_{other}"}).status_code
        for other in Scope
    }
    assert {scope, Scope.ADMIN} == {other for other, status in statuses.items() if status not in {401, 403}}


def test_a_good_key_is_remembered_for_a_moment_and_a_revoked_one_forgotten_within_5_seconds() -> None:
    keys, clock = FakeKeys(), FakeClock()
    ring = KeyRing(keys, clock=clock)
    assert ring.remembered("assay_read") is None
    assert ring.look_up("assay_read") == ring.remembered("assay_read") is not None
    del keys.known["assay_read"]
    clock.seconds += REMEMBER_SECONDS
    assert ring.remembered("assay_read") is None
    assert ring.look_up("assay_read") is None
    assert REMEMBER_SECONDS < 5


def test_a_bad_key_is_never_remembered() -> None:
    ring = KeyRing(FakeKeys(), clock=FakeClock())
    assert ring.look_up("assay_unknown") is None
    assert ring._remembered == {}


def test_a_request_with_a_remembered_key_costs_no_look_up(world: World, client: TestClient) -> None:
    assert [client.get(URL).status_code for _ in range(3)] == [200] * 3
    assert world.keys.asked == 1


def test_when_nobody_can_tell_whose_key_it_is_the_answer_is_503(world: World, client: TestClient) -> None:
    world.keys.failure = TransientError()
    assert client.get(URL).status_code == 503
