"""What is asked without boto3 is asked as boto3 asks it, and what is no plain success is left to boto3."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from tests.unit.worker.objects.answering_store import NO_LENGTH, Answer, client_of, error_of
from worker.objects.quick import QuickRequests
from worker.objects.versions import read_head, read_version

KEYS = ["a b.png", "dir/ü+%~&=.png", "a//b", "..", "a/../b", "/a", "a:b;c,d@e!'()*$", "?x#y"]
PINS: list[dict[str, str]] = [{}, {"VersionId": "v+/= ~1"}, {"IfMatch": '"e"'}]
HEADERS = {
    "ETag": '"e"',
    "x-amz-version-id": "v",
    "x-amz-meta-Image-Id": "q%",
    "Last-Modified": "Mon, 30 Nov 2026 08:00:00 GMT",
}


@pytest.fixture
def client(answer: Answer) -> Iterator[Any]:
    answer.headers = dict(HEADERS)
    answer.body = b"bytes"
    with client_of(answer) as client:
        yield client


@pytest.mark.parametrize("pin", PINS, ids=["any", "version", "etag"])
@pytest.mark.parametrize("key", KEYS)
def test_the_same_is_asked_as_by_boto3(client: Any, answer: Answer, key: str, pin: dict[str, str]) -> None:
    client.head_object(Bucket="b", Key=key, **pin)
    assert QuickRequests(client)("HEAD", "b", key, pin) is not None
    [(theirs, their_headers), (ours, our_headers)] = answer.asked
    assert (ours, our_headers.get("If-Match")) == (theirs, their_headers.get("If-Match"))
    # Signed over the same: within a second even the signature is the same.
    if our_headers["X-Amz-Date"] == their_headers["X-Amz-Date"] and "x-amz-checksum-mode" not in their_headers:
        assert our_headers["Authorization"].partition("Signature=")[0] in their_headers["Authorization"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_same_is_read_as_by_boto3(client: Any, method: str) -> None:
    theirs = read_head(client.head_object(Bucket="b", Key="k"))
    answer = QuickRequests(client)(method, "b", "k", {})
    assert answer is not None
    assert read_head(answer) == theirs
    assert theirs.metadata == {"image-id": "q%"}
    if method == "GET":
        assert answer["Body"].read() == b"bytes"


def test_the_same_is_put_as_by_boto3(client: Any, answer: Answer) -> None:
    answer.body = b""
    theirs = client.put_object(Bucket="b", Key="a b.png", Body=b"picture", ContentType="image/png")
    ours = QuickRequests(client)("PUT", "b", "a b.png", {"ContentType": "image/png"}, body=b"picture")
    assert ours is not None
    assert read_version(ours) == read_version(theirs)
    [(their_path, their_headers), (our_path, our_headers)] = answer.asked
    same = ("Content-Type", "Content-Length", "X-Amz-Content-SHA256")
    assert (our_path, [our_headers[name] for name in same]) == (their_path, [their_headers[name] for name in same])
    assert answer.received == [b"picture"] * 2


def test_a_put_whose_answer_says_no_length_is_not_sent_again(client: Any, answer: Answer) -> None:
    answer.body, answer.announced = b"", NO_LENGTH
    answer.end.set()
    ours = QuickRequests(client)("PUT", "b", "k", {}, body=b"picture")
    assert ours is not None
    assert read_version(ours).version_id == "v"
    assert answer.received == [b"picture"]


@pytest.mark.parametrize("status", [206, 301, 403, 404, 412, 503])
def test_what_is_no_plain_success_is_left_to_boto3(client: Any, answer: Answer, status: int) -> None:
    answer.status, answer.body = status, error_of("Whatever")
    assert QuickRequests(client)("GET", "b", "k", {}) is None
    answer.status, answer.body = 200, b"x"
    assert QuickRequests(client)("GET", "b", "k", {}) is not None  # the connection is not spoilt


def test_an_access_point_is_left_to_boto3(client: Any, answer: Answer) -> None:
    assert QuickRequests(client)("GET", "arn:aws:s3:eu-west-1:1:accesspoint/a", "k", {}) is None
    assert not answer.asked


def test_a_store_that_is_not_there_is_left_to_boto3(client: Any) -> None:
    quick = QuickRequests(client)
    quick._addresses["b"] = "http://127.0.0.1:1/b"
    assert quick("GET", "b", "k", {}) is None


def test_a_store_that_says_nothing_is_asked_once(client: Any, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    def stay_silent(_request: Any) -> None:
        raise ReadTimeoutError(endpoint_url="http://store")

    monkeypatch.setattr(client._endpoint.http_session, "send", stay_silent)
    with pytest.raises(ReadTimeoutError):
        QuickRequests(client)("GET", "b", "k", {})
    assert not answer.asked
