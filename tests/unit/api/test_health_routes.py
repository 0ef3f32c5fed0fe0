from threading import Event

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.readiness import Readiness
from tests.support.api_world import FakeClock, World


def broken() -> bool:
    raise ConnectionError("postgresql://assay:hunter2@db")


def test_the_process_tells_that_it_lives_without_a_key(world: World) -> None:
    with TestClient(create_app(world.services)) as stranger:
        assert ((found := stranger.get("/health/live")).status_code, found.json()) == (200, {"status": "live"})


def test_ready_reports_every_part(client: TestClient) -> None:
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "parts": {"database": {"ok": True, "hint": None}}}


def test_a_part_that_is_missing_or_throws_is_503_and_named_without_secrets(world: World) -> None:
    checks = {
        "database": (broken, "PostgreSQL does not answer."),
        "migrations": (lambda: False, "Run them."),
        "object_store": (lambda: True, "A bucket does not answer."),
    }
    world = world.having(readiness=Readiness(checks, world.clock))
    with TestClient(create_app(world.services)) as client:
        response = client.get("/health/ready")
    assert (response.status_code, response.headers["Content-Type"]) == (503, "application/problem+json")
    assert response.json()["detail"] == "Not ready: database, migrations."
    assert response.json()["parts"] == {
        "database": {"ok": False, "hint": "PostgreSQL does not answer."},
        "migrations": {"ok": False, "hint": "Run them."},
        "object_store": {"ok": True, "hint": None},
    }
    assert "hunter2" not in response.text


def test_parts_are_asked_at_most_once_a_second() -> None:
    asked: list[int] = []
    clock = FakeClock()
    readiness = Readiness({"database": (lambda: not asked.append(1), "")}, clock)  # type: ignore[func-returns-value]
    readiness()
    readiness()
    assert len(asked) == 1
    clock.seconds += 1
    readiness()
    assert len(asked) == 2


def test_a_part_that_hangs_is_not_ready_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.readiness._PATIENCE_SECONDS", 0.05)
    answer, asked = Event(), list[int]()

    def frozen() -> bool:
        asked.append(1)
        return answer.wait(30)

    clock, hint = FakeClock(), "It does not answer."
    checks = {
        "migrations": (lambda: True, ""),
        "database": (frozen, hint),
        "store": (lambda: True, ""),
    }
    readiness = Readiness(checks, clock)
    for _ in range(3):  # one thread of ours hangs, however many ask
        assert {name: part.ok for name, part in readiness().items()} == {
            "migrations": True,
            "database": False,
            "store": False,
        }
        clock.seconds += 5
    assert len(asked) == 1
    assert readiness()["database"].hint == hint
    monkeypatch.setattr("api.readiness._PATIENCE_SECONDS", 1000.0)
    answer.set()
    assert all(part.ok for part in readiness().values())


@pytest.mark.parametrize(("url", "route"), [("/v1/images/a/b", "/v1/images/{image_id:encoded}"), ("/x", "unmatched")])
def test_metrics_count_by_route_template_and_never_by_id(client: TestClient, url: str, route: str) -> None:
    client.get(url)
    lines = client.get("/metrics").text.splitlines()
    assert f'assay_api_requests_total{{method="GET",route="{route}",status="404"}} 1.0' in lines
    assert any(line.startswith(f'assay_api_request_seconds_count{{method="GET",route="{route}"}}') for line in lines)


def test_unusual_methods_share_one_label(client: TestClient) -> None:
    client.request("BREW", "/v1/images")
    assert 'method="other"' in client.get("/metrics").text


def test_description_and_its_page_are_served_without_a_key(world: World) -> None:
    with TestClient(create_app(world.services)) as stranger:
        assert stranger.get("/openapi.json").json()["info"]["title"] == "Assay"
        assert stranger.get("/docs").status_code == 200
