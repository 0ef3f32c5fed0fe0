"""How often a key may ask: counted in Valkey, counted down here for a moment, and uncounted without Valkey."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from api.requests.pace import RateLimitError, ValkeyPace
from api.services import Services
from infra.embedded.addresses import StackAddresses
from tests.integration.api.keyed_client import served
from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database

pytestmark = pytest.mark.integration


def wall() -> float:
    return datetime.now(UTC).timestamp()


def test_a_key_that_asks_too_often_waits_and_others_do_not(
    services: Services, database: Database, stack: StackAddresses
) -> None:
    pace = ValkeyPace("3/minute", stack.redis_url, wall=wall)
    paced = replace(services, pace=pace)
    keys = ApiKeys(database)
    for client in served(paced, keys.create("hasty", [Scope.READ]).key):
        answers = [client.get("/v1/sources") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        refused = answers[-1]
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.json()["type"] == "/v1/errors/too-many-requests"
        patient = keys.create("patient", [Scope.READ]).key
        assert client.get("/v1/sources", headers={"Authorization": f"Bearer {patient}"}).status_code == 200
        client.portal.call(pace.close)  # type: ignore[union-attr]


def test_what_is_left_is_counted_down_without_asking_valkey_each_time(
    stack: StackAddresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = [100.0], []
    pace = ValkeyPace("5/minute", stack.redis_url, name=uuid4().hex, monotonic=lambda: now[0], wall=wall)
    ask = pace._window.get_window_stats

    async def count_questions(*of: Any) -> Any:
        asked.append(of)
        return await ask(*of)

    monkeypatch.setattr(pace._window, "get_window_stats", count_questions)

    async def seven_requests() -> list[tuple[bool, int]]:
        assert await pace.look("one") == await pace.look("one")  # to look costs nothing
        quotas = [await pace.count("one") for _ in range(6)]
        now[0] += 1.0
        quotas.append(await pace.look("one"))
        await pace.close()
        return [(quota.allowed, quota.remaining) for quota in quotas if quota]

    answers = asyncio.run(seven_requests())
    assert answers == [(True, 4), (True, 3), (True, 2), (True, 1), (True, 0), (False, 0), (False, 0)]
    assert len(asked) == 4  # at first, near the end, when one is refused, and a second later


def test_without_valkey_requests_are_served_uncounted(services: Services, database: Database) -> None:
    nowhere = ValkeyPace("1/minute", "redis://127.0.0.1:9/0", wall=lambda: 0.0)
    for client in served(replace(services, pace=nowhere), ApiKeys(database).create("k", [Scope.READ]).key):
        assert [client.get("/v1/sources").status_code for _ in range(3)] == [200] * 3


def test_a_rate_that_cannot_be_read_is_refused_at_the_start() -> None:
    with pytest.raises(RateLimitError, match="200/second"):
        ValkeyPace("plenty", "redis://127.0.0.1:9/0", wall=lambda: 0.0)
