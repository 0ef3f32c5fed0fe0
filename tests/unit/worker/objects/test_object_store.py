"""The edge to the object store, against a server that answers what a test tells it to."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.worker.objects.answering_store import OUTAGES, REFUSALS, Answer, client_of, error_of
from worker.errors import GoneError, TooLargeError
from worker.objects.clients import client_arguments
from worker.objects.object_store import _FETCH_SECONDS, ObjectStore
from worker.objects.trouble import ObjectStoreDownError, RefusedError
from worker.objects.versions import ObjectVersion
from worker.settings import Settings


@pytest.fixture
def store(answer: Answer) -> Iterator[ObjectStore]:
    with client_of(answer) as client:
        yield ObjectStore(client, monotonic=answer.now)


def fetch(store: ObjectStore, *, versioned: bool = False, max_bytes: int = 100) -> bytes:
    return store.fetch("uploads", "a b.png", "v1", versioned=versioned, max_bytes=max_bytes)


def test_a_fetch_is_pinned_to_the_version_that_was_registered(store: ObjectStore, answer: Answer) -> None:
    answer.body = b"bytes"
    assert fetch(store, versioned=True) == b"bytes"
    assert fetch(store, versioned=False) == b"bytes"
    [(versioned, _), (plain, headers)] = answer.asked
    assert versioned == "/uploads/a%20b.png?versionId=v1"
    assert (plain, headers["If-Match"]) == ("/uploads/a%20b.png", '"v1"')


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "NoSuchKey"), (404, "NoSuchVersion"), (412, "PreconditionFailed"), (405, "MethodNotAllowed")],
)
def test_what_was_deleted_or_overwritten_is_gone(store: ObjectStore, answer: Answer, status: int, code: str) -> None:
    answer.status, answer.body = status, error_of(code)
    with pytest.raises(GoneError):
        fetch(store)


@pytest.mark.parametrize(("status", "code"), [*OUTAGES, (404, "NoSuchBucket")])
def test_a_store_in_trouble_is_tried_again(store: ObjectStore, answer: Answer, status: int, code: str) -> None:
    answer.status, answer.body = status, error_of(code)
    with pytest.raises(ObjectStoreDownError):
        fetch(store)
    with pytest.raises(ObjectStoreDownError):
        store.put("artifacts", "a.png", b"x", "image/png")


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_what_the_store_refuses_is_no_outage(store: ObjectStore, answer: Answer, status: int, code: str) -> None:
    answer.status, answer.body = status, error_of(code)
    with pytest.raises(RefusedError):
        fetch(store)
    with pytest.raises(RefusedError):
        store.put("artifacts", "a.png", b"x", "image/png")


def test_a_fetch_ends_well_within_a_lease() -> None:
    config: Any = client_arguments(Settings(), None)["config"]
    silence = config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout)
    longest = max(silence, _FETCH_SECONDS) + config.read_timeout
    assert longest < 0.6 * Settings().lease_seconds


def test_a_body_that_drips_is_given_up_without_waiting_for_the_rest(store: ObjectStore, answer: Answer) -> None:
    answer.body, answer.announced = b"x", 80
    times = iter([0.0, _FETCH_SECONDS + 1])
    answer.monotonic = lambda: next(times)
    answer.end.clear()
    with pytest.raises(ObjectStoreDownError, match="only 1 of 80 bytes"):
        fetch(store)


def test_more_bytes_than_allowed_are_not_read(store: ObjectStore, answer: Answer) -> None:
    answer.body = b"x" * 101
    with pytest.raises(TooLargeError, match="101 bytes, the limit is 100"):
        fetch(store)
    assert fetch(store, max_bytes=101) == answer.body


def test_a_body_that_breaks_off_is_tried_again_rather_than_called_damaged(store: ObjectStore, answer: Answer) -> None:
    answer.body, answer.announced = b"half", 80
    with pytest.raises(ObjectStoreDownError, match="after 4 of 80 bytes"):
        fetch(store)


def test_a_head_tells_version_size_and_metadata_however_its_names_are_written(
    store: ObjectStore, answer: Answer
) -> None:
    answer.headers = {"ETag": '"e1"', "x-amz-version-id": "v1", "X-Amz-Meta-Image-Id": "=?UTF-8?B?R3LDvMOfZSA3?="}
    answer.announced = 7
    head = store.head("uploads", "a.png")
    assert head is not None
    assert (head.version, head.size) == (ObjectVersion("v1", "e1"), 7)
    assert head.metadata == {"image-id": "Grüße 7"}


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, ""), (405, ""), (400, "KeyTooLongError"), (403, "NoSuchKey"), (400, "NoSuchVersion")],
)
def test_a_head_of_what_is_not_there_is_none(store: ObjectStore, answer: Answer, status: int, code: str) -> None:
    answer.status, answer.body = status, error_of(code)
    assert store.head("uploads", "a.png") is None


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_head_that_is_refused_says_so(store: ObjectStore, answer: Answer, status: int, code: str) -> None:
    answer.status, answer.body = status, error_of(code)
    with pytest.raises(RefusedError):
        store.head("uploads", "a.png", "v1")
    head, get = answer.asked[0], answer.asked[-1]
    assert head[0] == get[0] == "/uploads/a.png?versionId=v1"
    assert get[1]["Range"] == "bytes=0-0"


@pytest.mark.parametrize(("status", "code"), OUTAGES)
def test_a_head_with_bad_credentials_is_an_outage(store: ObjectStore, answer: Answer, status: int, code: str) -> None:
    answer.status, answer.body = status, error_of(code)
    with pytest.raises(ObjectStoreDownError):
        store.head("uploads", "a.png")


def test_a_head_of_a_store_in_trouble_is_tried_again(store: ObjectStore, answer: Answer) -> None:
    answer.status = 503
    with pytest.raises(ObjectStoreDownError):
        store.head("uploads", "a.png")


def test_metadata_travels_encoded_by_rfc_2047(store: ObjectStore, answer: Answer) -> None:
    answer.headers = {"ETag": '"e1"'}
    assert store.put("uploads", "a.png", b"x", "image/png", {"image-id": "Grüße 7"}) == ObjectVersion(None, "e1")
    [(_, headers)] = answer.asked
    assert headers["x-amz-meta-image-id"] == "=?UTF-8?B?R3LDvMOfZSA3?="
