"""The bell rings on a real Valkey, and a broker that is away is said to be away at once."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
import redis

from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.dispatch.celery_app import SCAN_TASK, make_celery
from worker.dispatch.dispatcher import BrokerDownError
from worker.dispatch.publish import Publisher
from worker.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture
def valkey(stack_settings: Settings) -> Iterator["redis.Redis"]:
    client = redis.Redis.from_url(stack_settings.redis_url.get_secret_value())
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


def messages(valkey: "redis.Redis", queue: str) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in cast("list[bytes]", valkey.lrange(queue, 0, -1))][::-1]


def test_one_message_is_one_scan_id_in_the_queue_it_belongs_to(stack_settings: Settings, valkey: "redis.Redis") -> None:
    publish = Publisher(make_celery(stack_settings))
    publish(LIVE_QUEUE, [1, 2])
    publish(BULK_QUEUE, [3])
    assert [message["headers"]["task"] for message in messages(valkey, LIVE_QUEUE)] == [SCAN_TASK] * 2
    assert [message["headers"]["argsrepr"] for message in messages(valkey, LIVE_QUEUE)] == ["(1,)", "(2,)"]
    assert [message["headers"]["argsrepr"] for message in messages(valkey, BULK_QUEUE)] == ["(3,)"]


def test_a_publisher_outlives_the_connections_it_had(stack_settings: Settings, valkey: "redis.Redis") -> None:
    publish = Publisher(make_celery(stack_settings))
    publish(LIVE_QUEUE, [1])
    valkey.client_kill_filter(_type="normal", skipme=True)
    publish(LIVE_QUEUE, [2])
    assert len(messages(valkey, LIVE_QUEUE)) == 2


@pytest.mark.timeout(30)
def test_a_broker_that_is_away_is_said_to_be_away(stack_settings: Settings) -> None:
    nowhere = stack_settings.model_copy(update={"redis_url": type(stack_settings.redis_url)("redis://127.0.0.1:1/0")})
    with pytest.raises(BrokerDownError):
        Publisher(make_celery(nowhere))(LIVE_QUEUE, [1])
    with pytest.raises(BrokerDownError):
        Publisher(make_celery(nowhere)).waiting(LIVE_QUEUE)


def test_the_length_of_a_queue_is_that_of_its_messages(stack_settings: Settings, valkey: "redis.Redis") -> None:
    publish = Publisher(make_celery(stack_settings))
    assert publish.waiting(LIVE_QUEUE) == 0
    publish(LIVE_QUEUE, [1, 2])
    assert [publish.waiting(LIVE_QUEUE), publish.waiting(BULK_QUEUE)] == [2, 0]
    valkey.client_kill_filter(_type="normal", skipme=True)
    with suppress(BrokerDownError):  # the first to find its connection cut; the next one has a new one
        publish.waiting(LIVE_QUEUE)
    valkey.flushdb()
    assert publish.waiting(LIVE_QUEUE) == 0


def test_a_broker_that_takes_no_more_is_as_good_as_away(stack_settings: Settings, valkey: "redis.Redis") -> None:
    valkey.config_set("maxmemory", 1)
    try:
        with pytest.raises(BrokerDownError):
            Publisher(make_celery(stack_settings))(LIVE_QUEUE, [1])
    finally:
        valkey.config_set("maxmemory", 0)
