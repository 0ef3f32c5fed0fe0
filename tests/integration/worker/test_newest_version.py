"""Whatever order events come in, the version that the store took in last is served."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, update

from tests.conftest import Buckets, Scanned
from tests.integration.worker.conftest import HOUR, KEY, NOW, SECOND, Age, etag_of, images, make_register, scan_state
from worker.database.scans import Scans
from worker.database.served import Queries
from worker.database.session import Database
from worker.database.tables import Image, Scan, ScanState
from worker.errors import Reason
from worker.ingest.events import ObjectCreated
from worker.ingest.register import Register
from worker.ingest.sweep import Sweep
from worker.objects.trouble import RefusedError
from worker.objects.versions import ObjectHead

pytestmark = pytest.mark.integration


def newest(database: Database, image_id: str) -> Image:
    served = Queries(database).served(image_id)
    assert served is not None
    return served.image


def stored(store: Buckets, monkeypatch: pytest.MonkeyPatch, times: Mapping[str, datetime]) -> None:
    """Let the store say when it took in each state, by ETag; its own clock is too coarse for a test."""
    ask = store.objects.head

    def head(*place: Any) -> ObjectHead | None:
        answer = ask(*place)
        return answer and replace(answer, stored_at=times[answer.version.etag])

    monkeypatch.setattr(store.objects, "head", head)


def test_whatever_comes_first_the_version_stored_last_is_served(
    database: Database, object_store: Buckets, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts = [object_store.put(object_store.uploads, KEY, body) for body in (b"one", b"two", b"three")]
    stored(object_store, monkeypatch, {etag_of(put): NOW + number * SECOND for number, put in enumerate(puts)})
    for put in (puts[1], puts[2], puts[0]):
        register(ObjectCreated(object_store.uploads, (KEY,), put["VersionId"], etag_of(put), 3))
    assert newest(database, KEY).version == puts[2]["VersionId"]


def test_a_state_overwritten_before_it_was_looked_at_is_never_the_newest(
    database: Database, object_store: Buckets, register: Register
) -> None:
    old = etag_of(object_store.put(object_store.plain, KEY, b"old"))
    new = object_store.put(object_store.plain, KEY, b"new")
    told_at = object_store.s3.head_object(Bucket=object_store.plain, Key=KEY)["LastModified"] + 0.9 * SECOND
    register(ObjectCreated(object_store.plain, (KEY,), None, etag_of(new), 3))
    register(ObjectCreated(object_store.plain, (KEY,), None, old, 3, told_at))
    assert newest(database, KEY).version == etag_of(new)


@pytest.mark.parametrize("version_id", [None, "made-up"])
def test_a_ghost_of_an_event_hides_no_verdict_whatever_time_it_claims(
    database: Database, object_store: Buckets, register: Register, version_id: str | None
) -> None:
    real = object_store.put(object_store.uploads, KEY)
    register(ObjectCreated(object_store.uploads, (KEY,), real["VersionId"], etag_of(real)))

    in_2099 = datetime(2099, 1, 1, tzinfo=UTC)
    ghost = register(ObjectCreated(object_store.uploads, (KEY,), version_id, "0" * 32, 5, in_2099))

    assert ghost is not None
    assert newest(database, KEY).version == real["VersionId"]
    assert max(image.stored_at for image in images(database)) <= datetime.now(UTC)
    later = object_store.put(object_store.uploads, KEY, b"a later upload")
    register(ObjectCreated(object_store.uploads, (KEY,), later["VersionId"], etag_of(later)))
    assert newest(database, KEY).version == later["VersionId"]


def test_an_event_that_claims_an_older_state_again_does_not_bring_it_back(
    database: Database, object_store: Buckets, register: Register, age: Age
) -> None:
    old = etag_of(object_store.put(object_store.plain, KEY, b"old"))
    register(ObjectCreated(object_store.plain, (KEY,), None, old))
    age(HOUR)
    new = etag_of(object_store.put(object_store.plain, KEY, b"new"))
    register(ObjectCreated(object_store.plain, (KEY,), None, new))
    age(HOUR)

    register(ObjectCreated(object_store.plain, (KEY,), None, old, 3, datetime.now(UTC) + HOUR))

    assert newest(database, KEY).version == new


def test_a_state_that_only_an_event_told_of_counts_once_it_is_read(
    database: Database, object_store: Buckets, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RefusedError

    old = etag_of(object_store.put(object_store.plain, KEY, b"old"))
    register(ObjectCreated(object_store.plain, (KEY,), None, old))
    new = etag_of(object_store.put(object_store.plain, KEY, b"new"))
    monkeypatch.setattr(object_store.objects, "head", refuse)
    registered_now = register(ObjectCreated(object_store.plain, (KEY,), None, new, 3, datetime.now(UTC) + HOUR))
    assert registered_now is not None
    assert newest(database, KEY).version == old

    scanned = Scanned(database)
    scanned.crown()
    scanned.dispatch()
    lease = Scans(database).lease(registered_now.scan_id, 60)
    assert lease is not None
    Scans(database).reject(lease, Reason.UNDECODABLE, "no picture")

    assert newest(database, KEY).version == new


@pytest.mark.parametrize("way", ["event", "sweep"])
def test_a_state_that_comes_back_is_the_newest_again(
    database: Database, object_store: Buckets, sweep: Sweep, age: Age, way: str
) -> None:
    register = make_register(database, object_store)

    def put(body: bytes) -> ObjectCreated:
        age(HOUR)
        return ObjectCreated(object_store.plain, (KEY,), None, etag_of(object_store.put(object_store.plain, KEY, body)))

    first = put(b"one")
    register(first)
    register(put(b"two"))
    between = datetime.now(UTC)
    age(HOUR)
    assert newest(database, KEY).version != first.etag
    put(b"one")
    if way == "event":
        register(first)
    assert sweep() == 0
    assert len(images(database)) == 2
    assert newest(database, KEY).version == first.etag
    then = Queries(database).served(KEY, between - 2 * HOUR)
    assert then is not None
    assert then.image.version != first.etag


@pytest.mark.parametrize("way", ["event", "sweep"])
def test_what_was_gone_and_is_put_again_is_scanned_again(
    database: Database, object_store: Buckets, sweep: Sweep, age: Age, way: str
) -> None:
    register = make_register(database, object_store)
    created = ObjectCreated(object_store.plain, (KEY,), None, etag_of(object_store.put(object_store.plain, KEY)), 5)
    assert register(created)
    with database.transaction() as session:
        gone = {"state": ScanState.REJECTED, "reason": Reason.GONE, "due_at": None, "finished_at": func.now()}
        session.execute(update(Scan).values(gone))
    register(created)
    assert scan_state(database) == (ScanState.REJECTED, Reason.GONE, False)
    age(HOUR)
    object_store.put(object_store.plain, KEY)
    if way == "event":
        register(created)
    else:
        sweep()
    assert scan_state(database) == (ScanState.QUEUED, None, True)
