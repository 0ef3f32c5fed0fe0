"""The listener commits first and acknowledges second; what it cannot handle stays in the queue."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import make_url, select, text

from tests.conftest import Buckets
from tests.support.fakes import FakeStop
from worker.database.session import Database, connect
from worker.database.tables import Image
from worker.errors import TransientError
from worker.ingest.events import ObjectCreated
from worker.ingest.register import Register
from worker.ingest.sqs import Registers, SqsListener, pause_of

pytestmark = pytest.mark.integration


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(10) as threads:
        yield threads


def make_register(database: Database, store: Buckets) -> Register:
    return Register(database, store.objects, upload_buckets=[store.uploads], artifact_bucket=store.artifacts)


def make_listener(store: Buckets, register: Registers) -> SqsListener:
    store.sqs.set_queue_attributes(QueueUrl=store.queue_url, Attributes={"VisibilityTimeout": "0"})
    store.sqs.purge_queue(QueueUrl=store.queue_url)  # the test event that setting a notification sends
    return SqsListener(store.sqs, store.queue_url, register)


def waiting(store: Buckets) -> int:
    answer = store.sqs.get_queue_attributes(QueueUrl=store.queue_url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def keys(database: Database) -> list[str]:
    with database.transaction() as session:
        return sorted(session.scalars(select(Image.key)))


def send(store: Buckets, *bodies: Any) -> None:
    for body in bodies:
        store.sqs.send_message(
            QueueUrl=store.queue_url, MessageBody=body if isinstance(body, str) else json.dumps(body)
        )


def event_of(bucket: str, key: str) -> dict[str, Any]:
    found = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": found}]}


def test_an_upload_becomes_a_row_and_its_message_goes(
    database: Database, object_store: Buckets, pool: ThreadPoolExecutor
) -> None:
    listener = make_listener(object_store, make_register(database, object_store))
    object_store.put(object_store.uploads, "dir/a b+ü%.jpg")
    assert listener.receive_once(pool, wait_seconds=5) == 1
    assert keys(database) == ["dir/a b+ü%.jpg"]
    assert waiting(object_store) == 0


def test_an_empty_queue_is_nothing(database: Database, object_store: Buckets, pool: ThreadPoolExecutor) -> None:
    assert make_listener(object_store, make_register(database, object_store)).receive_once(pool, wait_seconds=0) == 0


def test_while_the_database_is_down_messages_stay_and_afterwards_none_is_lost(
    database_url: str, database: Database, object_store: Buckets, pool: ThreadPoolExecutor
) -> None:
    nowhere = connect(make_url(database_url).set(port=1).render_as_string(hide_password=False))
    listener = make_listener(object_store, make_register(nowhere, object_store))
    object_store.put(object_store.uploads, "a.png")
    assert listener.receive_once(pool, wait_seconds=5) == 0
    assert waiting(object_store) == 1
    assert make_listener_again(object_store, database).receive_once(pool, wait_seconds=5) == 1
    assert keys(database) == ["a.png"]


@pytest.mark.parametrize(("asked_before_it_ends", "receives"), [(30, 2), (0, 3)])
def test_an_outage_however_long_takes_no_message_to_the_dead_letter_queue_but_a_bad_object_does(
    object_store: Buckets, asked_before_it_ends: int, receives: int
) -> None:
    received: list[str] = []
    asked: list[str] = []
    stop = FakeStop(1000)

    def answers() -> bool:
        asked.append("database and store")
        return len(asked) > asked_before_it_ends

    def register(created: ObjectCreated) -> None:
        received.append(created.keys[0])
        if not asked or (not asked_before_it_ends and len(received) < receives):
            raise TransientError("it does not answer")
        stop.set()

    make_listener(object_store, register)
    listener = SqsListener(object_store.sqs, object_store.queue_url, register, answers=answers)
    send(object_store, event_of("b", "a.png"))
    listener.run(stop)
    # Each receive counts, and the tenth is the last.
    assert (len(received), waiting(object_store)) == (receives, 0)


def test_what_met_an_outage_comes_again_before_the_queue_s_own_time_is_over(object_store: Buckets) -> None:
    stop, met, received = FakeStop(1000), list[str](), list[str]()

    def register(created: ObjectCreated) -> None:
        met.append(created.keys[0])
        if len(met) < 3:
            raise TransientError("it does not answer")
        stop.set()

    listener = make_listener(object_store, register)
    object_store.sqs.set_queue_attributes(QueueUrl=object_store.queue_url, Attributes={"VisibilityTimeout": "600"})
    events = object_store.sqs.meta.events
    events.register("before-call.sqs.ReceiveMessage", lambda **_: received.append("asked"), unique_id="asked")
    send(object_store, event_of("b", "a.png"))
    listener.run(stop)
    events.unregister("before-call.sqs.ReceiveMessage", unique_id="asked")
    assert met == ["a.png"] * 3
    assert len(received) < 9
    assert waiting(object_store) == 0


@pytest.mark.parametrize(("times", "seconds"), [("1", 0), ("2", 1), ("3", 3), ("6", 31), ("10", 60), ("999", 60)])
def test_each_time_a_message_meets_an_outage_it_waits_longer(times: str, seconds: int) -> None:
    assert pause_of({"Attributes": {"ApproximateReceiveCount": times}}) == seconds


def make_listener_again(store: Buckets, database: Database) -> SqsListener:
    return SqsListener(store.sqs, store.queue_url, make_register(database, store))


def test_what_nobody_understands_stays_for_the_dead_letter_queue(
    database: Database, object_store: Buckets, pool: ThreadPoolExecutor
) -> None:
    listener = make_listener(object_store, make_register(database, object_store))
    send(object_store, "not json", {"hello": "world"}, event_of(object_store.uploads, "a.png"))
    assert listener.receive_once(pool, wait_seconds=1) == 1
    assert waiting(object_store) == 2
    assert keys(database) == ["a.png"]


def test_events_that_ask_for_nothing_are_acknowledged(
    database: Database, object_store: Buckets, pool: ThreadPoolExecutor
) -> None:
    listener = make_listener(object_store, make_register(database, object_store))
    removal = event_of(object_store.uploads, "a.png")
    removal["Records"][0]["eventName"] = "ObjectRemoved:Delete"
    send(object_store, {"Event": "s3:TestEvent"}, removal, event_of(object_store.artifacts, "h.png"))
    assert listener.receive_once(pool, wait_seconds=1) == 3
    assert (waiting(object_store), keys(database)) == (0, [])


def test_a_message_that_meets_a_defect_stays_and_its_neighbours_pass(
    object_store: Buckets, pool: ThreadPoolExecutor
) -> None:
    registered: list[str] = []

    def register(created: ObjectCreated) -> None:
        if created.keys[0] == "bad.png":
            raise ValueError("a defect")
        registered.append(created.keys[0])

    listener = make_listener(object_store, register)
    send(object_store, *[event_of("b", key) for key in ("bad.png", "1.png", "2.png")])
    assert listener.receive_once(pool, wait_seconds=1) == 2
    assert (sorted(registered), waiting(object_store)) == (["1.png", "2.png"], 1)


def test_messages_that_came_together_are_registered_in_one_transaction(
    database: Database, object_store: Buckets, pool: ThreadPoolExecutor
) -> None:
    register = make_register(database, object_store)
    make_listener(object_store, register)
    refused, nothing = event_of("somebody-elses", "a.png"), {"Event": "s3:TestEvent"}
    both = {"Records": [event_of(object_store.uploads, key)["Records"][0] for key in ("2.png", "3.png")]}
    send(object_store, event_of(object_store.uploads, "1.png"), both, refused, nothing)
    assert listener_of(object_store, register).receive_once(pool, wait_seconds=1) == 4
    assert (keys(database), waiting(object_store)) == (["1.png", "2.png", "3.png"], 0)
    with database.transaction() as session:
        assert len(set(session.scalars(select(Image.created_at)))) == 1


def test_what_cannot_be_registered_together_is_registered_apart(
    database: Database, object_store: Buckets, pool: ThreadPoolExecutor
) -> None:
    register = make_register(database, object_store)
    make_listener(object_store, register)
    listener = listener_of(object_store, register)
    with database.transaction() as session:
        # A row that Postgres refuses, as a defect would make it.
        session.execute(text("ALTER TABLE image ADD CONSTRAINT no_bad CHECK (key <> 'bad.png')"))
    send(object_store, *[event_of(object_store.uploads, key) for key in ("1.png", "bad.png", "2.png")])
    assert listener.receive_once(pool, wait_seconds=1) == 2
    assert (keys(database), waiting(object_store)) == (["1.png", "2.png"], 1)


def listener_of(store: Buckets, register: Register) -> SqsListener:
    return SqsListener(store.sqs, store.queue_url, register, together=register.together)


def test_a_listener_outlives_a_queue_that_is_not_there(object_store: Buckets) -> None:
    turns: list[str] = []
    listener = SqsListener(object_store.sqs, object_store.queue_url + "-gone", lambda _created: None)
    listener.run(FakeStop(2, lambda: turns.append("turn")))
    assert turns == ["turn"] * 2


def test_hostile_names_never_reach_the_database(
    database: Database, object_store: Buckets, pool: ThreadPoolExecutor
) -> None:
    listener = make_listener(object_store, make_register(database, object_store))
    hostile = event_of(object_store.uploads, "a\x00b.png")
    odd = event_of(object_store.uploads, "odd.png")
    odd["Records"][0]["s3"]["object"].update(versionId="v\x00", eTag="\ud800", size=2**70)
    send(object_store, hostile, odd)
    assert listener.receive_once(pool, wait_seconds=1) == 1
    assert keys(database) == ["odd.png"]
