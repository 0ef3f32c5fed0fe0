import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from api.key_ring import REMEMBER_SECONDS, KeyRing
from api.main import create_app
from api.requests.pace import Pace, Quota
from api.requests.quotas import address_of
from tests.support.api_world import FakeAudit, FakeClock, FakeKeys, World
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
    assert (response.status_code, response.json()["missing_scope"]) == (403, "operate")


@pytest.mark.parametrize(
    ("method", "url", "scope"),
    [
        ("POST", "/v1/images", Scope.INGEST),
        ("POST", "/v1/events/s3", Scope.INGEST),
        ("GET", "/v1/images/cat", Scope.READ),
        ("GET", "/v1/images/cat/verdicts", Scope.READ),
        ("GET", "/v1/images/cat/heatmap?detector=clip", Scope.READ),
        ("GET", "/v1/images/cat/frame", Scope.READ),
        ("GET", URL, Scope.READ),
        ("POST", "/v1/scans/1/replay", Scope.OPERATE),
    ],
)
def test_each_route_asks_for_its_own_scope(client: TestClient, method: str, url: str, scope: Scope) -> None:
    statuses = {
        other: client.request(method, url, headers={"Authorization": f"Bearer assay_{other}"}).status_code
        for other in Scope
    }
    includes = {Scope.INGEST: {Scope.PRIORITY}}
    assert {scope, Scope.OPERATE, Scope.ADMIN} | includes.get(scope, set()) == {
        other for other, status in statuses.items() if status not in {401, 403}
    }


def test_a_good_key_is_remembered_for_a_moment_and_a_revoked_one_forgotten_within_5_seconds() -> None:
    keys, clock = FakeKeys(), FakeClock()
    ring = KeyRing(keys, clock=clock)
    assert ring.recall("assay_read") is None
    assert ring.look_up("assay_read") == ring.recall("assay_read") is not None
    del keys.known["assay_read"]
    clock.seconds += REMEMBER_SECONDS
    assert ring.recall("assay_read") is None
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


class Counts(Pace):
    """Allows so many of each subject, and remembers who asked."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.counted: dict[str, int] = {}

    async def count(self, subject: str) -> Quota:
        self.counted[subject] = self.counted.get(subject, 0) + 1
        return self._quota(self.counted[subject])

    async def look(self, subject: str) -> Quota:
        return self._quota(self.counted.get(subject, 0) + 1)

    def _quota(self, used: int) -> Quota:
        return Quota(used <= self._most, self._most, 60, max(0, self._most - used), 7)


def served_with(world: World, **changes: Pace) -> TestClient:
    return TestClient(create_app(world.having(**changes).services), follow_redirects=False)


def test_wrong_keys_are_limited_by_address_and_good_ones_behind_it_go_on(world: World) -> None:
    guesses = Counts(3)
    with served_with(world, guesses=guesses) as client:
        assert client.get(URL, headers={"X-API-Key": "assay_read"}).status_code == 200
        wrong = [client.get(URL, headers={"X-API-Key": f"assay_{n}"}) for n in range(5)]
        assert [answer.status_code for answer in wrong] == [401, 401, 401, 429, 429]
        assert wrong[-1].headers["Retry-After"] == "7"
        asked = world.keys.asked
        client.get(URL, headers={"X-API-Key": "assay_more"})
        assert world.keys.asked == asked, "the database is not asked any more"
        world.clock.seconds += REMEMBER_SECONDS + 1
        assert client.get(URL, headers={"X-API-Key": "assay_read"}).status_code == 200
    assert list(guesses.counted) == ["testclient"]


def test_wrong_keys_of_the_sign_in_count_as_well(world: World) -> None:
    with served_with(world, guesses=Counts(2)) as client:
        answers = [client.post("/console/sign-in", data={"key": f"assay_{n}"}) for n in range(4)]
        assert "assay_api_failed_authentications_total 2.0" in client.get("/metrics").text
    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
    assert answers[-1].headers["Retry-After"] == "7"


def test_refused_requests_count_against_their_key(world: World) -> None:
    pace = Counts(2)
    with served_with(world, pace=pace) as client:
        headers = {"X-API-Key": "assay_read"}
        forbidden = [client.post("/v1/scans/1/replay", headers=headers).status_code for _ in range(3)]
    assert forbidden == [403, 403, 429]


def test_every_answer_to_a_key_tells_what_is_left_of_its_quota(world: World) -> None:
    with served_with(world, pace=Counts(9), guesses=Counts(5)) as client:
        headers = {"X-API-Key": "assay_read"}
        for path, status in ((URL, 200), ("/v1/images/unknown", 404), ("/v1/audit", 403)):
            answer = client.get(path, headers=headers)
            assert answer.status_code == status
            assert answer.headers["RateLimit-Policy"] == '"key";q=9;w=60'
            assert answer.headers["RateLimit"].startswith('"key";r=')
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert client.get(URL).headers["RateLimit"] == '"address";r=4;t=7'


def test_a_failed_authentication_is_counted_and_a_new_address_of_a_key_audited(world: World) -> None:
    with served_with(world) as client:
        for key in ("assay_read", "assay_read", "assay_wrong"):
            client.get(URL, headers={"X-API-Key": key})
        assert "assay_api_failed_authentications_total 1.0" in client.get("/metrics").text
    audit = world.services.stores.audit
    assert isinstance(audit, FakeAudit)
    assert [(actor.name, action) for actor, action, _ in audit.noted] == [("read", "api_key.use")]


def test_metrics_are_served_where_the_settings_say_so(world: World) -> None:
    with TestClient(create_app(world.having(serves_metrics=False).services)) as client:
        assert client.get("/metrics").status_code == 404


@pytest.mark.parametrize(
    ("host", "counted"),
    [("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::"), ("::ffff:203.0.113.7", "203.0.113.7")],
)
def test_of_ipv6_a_whole_network_counts_as_one_address(host: str, counted: str) -> None:
    assert address_of(Request({"type": "http", "client": (host, 1), "headers": []})) == counted
