"""The gate before the object store: botocore signs, the gate verifies."""

import asyncio
import hashlib
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from infra.embedded.object_store_server import Gate, Receive, Scope, Send, keep_saving

CREDENTIALS = ("ASSAYKEY", "secret")
QUERY_BODY = b'{"QueueUrl": "http://127.0.0.1:1/000000000000/q"}'
SIGNERS: dict[str, tuple[type[SigV4Auth], str, bytes]] = {
    "object": (S3SigV4Auth, "http://127.0.0.1:1/uploads/dir/a%20b%2B%C3%BC%25.jpg?versionId=v%2F1&acl", b"bytes"),
    "queue": (SigV4Auth, "http://127.0.0.1:1/", QUERY_BODY),
    "presigned": (S3SigV4QueryAuth, "http://127.0.0.1:1/uploads/dir/a%20b%2B%C3%BC%25.jpg?versionId=v1", b""),
}


def signed_scope(kind: str, secret: str = "secret") -> tuple[Scope, bytes]:
    """A request as hypercorn hands it over, signed by botocore."""
    signer, url, body = SIGNERS[kind]
    method = "POST" if kind == "queue" else "GET" if kind == "presigned" else "PUT"
    request = AWSRequest(method=method, url=url, data=body, headers={"Host": "127.0.0.1:1"})
    service = "sqs" if kind == "queue" else "s3"
    signer(Credentials(CREDENTIALS[0], secret), service, "us-east-1").add_auth(request)
    prepared = request.prepare()
    path, _, query = prepared.url.removeprefix("http://127.0.0.1:1").partition("?")
    headers = [(str(k).encode(), v if isinstance(v, bytes) else v.encode()) for k, v in prepared.headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
    }
    return scope, body


def served(scope: Scope, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request through the gate; gives the status and the body that the application saw."""
    seen = bytearray()
    sent: list[dict[str, Any]] = []
    halves = [
        {"type": "http.request", "body": body[:9], "more_body": True},
        {"type": "http.request", "body": body[9:], "more_body": False},
    ]

    async def receive() -> dict[str, Any]:
        return halves.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        more = True
        while more:
            message = await receive()
            seen.extend(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    asyncio.run(Gate(application, CREDENTIALS)(scope, receive, send))
    return sent[0]["status"], bytes(seen)


@pytest.mark.parametrize("kind", SIGNERS)
def test_what_botocore_signs_goes_through_with_its_body(kind: str) -> None:
    scope, body = signed_scope(kind)
    assert served(scope, body) == (200, body)


@pytest.mark.parametrize("kind", SIGNERS)
def test_another_secret_is_refused(kind: str) -> None:
    assert served(*signed_scope(kind, secret="other")) == (403, b"")


@pytest.mark.parametrize("kind", SIGNERS)
@pytest.mark.parametrize(
    ("part", "value"),
    [("method", "DELETE"), ("raw_path", b"/uploads/other"), ("query_string", b""), ("headers", [])],
)
def test_a_request_changed_after_signing_is_refused(kind: str, part: str, value: object) -> None:
    scope, body = signed_scope(kind)
    if scope[part] == value:  # the queue's request has no query to drop
        value = b"a=b"
    assert served({**scope, part: value}, body) == (403, b"")


def test_a_queue_request_with_another_body_is_refused() -> None:
    scope, body = signed_scope("queue")
    assert served(scope, body.replace(b"/q", b"/other")) == (403, b"")


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_localstack/init", "/_ministack/sqs/messages"])
def test_administrative_routes_are_closed_even_to_signed_requests(path: str) -> None:
    scope, _ = signed_scope("queue")
    assert served({**scope, "path": path}) == (403, b"")


def test_the_readiness_route_is_open() -> None:
    scope = {"type": "http", "method": "GET", "path": "/_ministack/ready", "query_string": b"", "headers": []}
    assert served(scope) == (200, b"")


def test_the_state_is_saved_only_after_something_was_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.embedded.object_store_server._UNSAVED_SECONDS", 0.0)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send

    async def scenario() -> list[str]:
        saves: list[str] = []
        saved = asyncio.Event()
        loop = asyncio.get_running_loop()

        def save() -> None:
            saves.append(hashlib.sha256(b"state").hexdigest())
            loop.call_soon_threadsafe(saved.set)

        gate = Gate(application, CREDENTIALS)
        saving = asyncio.create_task(keep_saving(gate, save))
        for _ in range(5):
            await asyncio.sleep(0)
        before = list(saves)
        gate.touched = True
        await asyncio.wait_for(saved.wait(), 5)
        saving.cancel()
        assert before == []
        return saves

    assert len(asyncio.run(scenario())) == 1
