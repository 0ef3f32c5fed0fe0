"""The process of the embedded object store: ministack behind a gate of ours.

Run as a script by the interpreter of ministack's own virtual environment; it imports nothing else
of this project. Started bare, ministack takes any secret that comes with a known access key, lets
anyone on the machine wipe all data (`POST /_ministack/reset`), and saves queues and bucket settings
at a clean stop only. Here every request must carry a valid AWS Signature Version 4, the
administrative routes are closed, and the state is saved every few seconds.
"""

import asyncio
import hashlib
import hmac
import importlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/_ministack/health", "/_ministack/ready"})
_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSAVED_SECONDS = 5.0  # the longest span of events that a SIGKILL may lose
_SAVE_SHARE = 20  # saving may take a twentieth of the time, however long the queues
_LARGEST_QUERY_BODY = 2_000_000


def signature_is_valid(
    method: str,
    raw_path: bytes,
    query: str,
    headers: dict[str, str],
    body_hash: str,
    *,
    credentials: tuple[str, str],
) -> bool:
    """Verify an AWS Signature Version 4, in the header or in the query (presigned URL).

    Contract of the algorithm: AWS General Reference, "Create a signed AWS API request".

    Args:
        method: The HTTP method.
        raw_path: The path as it was sent, percent-encoded.
        query: The query string as it was sent.
        headers: Lower-case names and values.
        body_hash: SHA-256 of the body in hexadecimal, or what the signer put in its place.
        credentials: The access key and the secret key.

    Returns:
        Whether the request was signed with exactly these credentials.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    presented = dict(pairs) if "X-Amz-Signature" in dict(pairs) else _header_parts(headers)
    access_key, _, scope = presented.get("X-Amz-Credential", "").partition("/")
    signature = presented.get("X-Amz-Signature", "")
    if presented.get("X-Amz-Algorithm") != _ALGORITHM or scope.count("/") != 3:  # noqa: PLR2004 - date/region/service/kind
        return False
    signed = presented.get("X-Amz-SignedHeaders", "").split(";")
    canonical = "\n".join(
        (
            method,
            quote(unquote_to_bytes(raw_path), safe="/-_.~"),
            _canonical_query(pair for pair in pairs if pair[0] != "X-Amz-Signature"),
            "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed),
            ";".join(signed),
            body_hash,
        ),
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join((_ALGORITHM, presented.get("X-Amz-Date", ""), scope, digest))
    key = f"AWS4{credentials[1]}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    computed = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return hmac.compare_digest(access_key, credentials[0]) and hmac.compare_digest(computed, signature)


def _header_parts(headers: dict[str, str]) -> dict[str, str]:
    """Name the parts of an Authorization header as a presigned query names them."""
    algorithm, _, rest = headers.get("authorization", "").partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    return {
        "X-Amz-Algorithm": algorithm,
        "X-Amz-Credential": parts.get("Credential", ""),
        "X-Amz-SignedHeaders": parts.get("SignedHeaders", ""),
        "X-Amz-Signature": parts.get("Signature", ""),
        "X-Amz-Date": headers.get("x-amz-date", ""),
    }


def _canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs))


class Gate:
    """Lets signed requests through to the application, and nothing else."""

    def __init__(self, application: Application, credentials: tuple[str, str]) -> None:
        self._application = application
        self._credentials = credentials
        self.touched = False  # something may have changed since this was last cleared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and scope["method"] != "OPTIONS":
            receive, allowed = await self._check(scope, receive)
            if not allowed:
                await _refuse(send)
                return
            self.touched = True
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._application(scope, receive, send)

    async def _check(self, scope: Scope, receive: Receive) -> tuple[Receive, bool]:
        if scope["path"].startswith(("/_ministack", "/_localstack", "/_aws")):
            return receive, False
        headers = {name.decode("latin-1").lower(): value.decode("utf-8", "replace") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        body_hash = headers.get("x-amz-content-sha256", "")
        if "X-Amz-Signature=" in query:
            body_hash = body_hash or "UNSIGNED-PAYLOAD"
        elif not body_hash:  # the query services (SQS) sign the body without naming its hash
            body = await _read_body(receive)
            body_hash = hashlib.sha256(body).hexdigest()
            receive = _replay(body, receive)
        raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
        valid = signature_is_valid(scope["method"], raw_path, query, headers, body_hash, credentials=self._credentials)
        return receive, valid


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    while len(body) <= _LARGEST_QUERY_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> dict[str, Any]:
        return pending.pop() if pending else await receive()

    return replayed


async def _refuse(send: Send) -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>Not signed with this store's credentials.</Message></Error>"
    headers = [(b"content-type", b"application/xml"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def keep_saving(gate: Gate, save: Callable[[], None]) -> None:
    """Save the state every few seconds while there are requests; never returns."""
    pause = _UNSAVED_SECONDS
    while True:
        await asyncio.sleep(pause)
        if gate.touched:
            gate.touched = False
            began = time.monotonic()
            await asyncio.to_thread(save)
            pause = max(_UNSAVED_SECONDS, _SAVE_SHARE * (time.monotonic() - began))


async def serve(
    bind: str, credentials: tuple[str, str], door: Callable[[Gate], Application] = lambda gate: gate
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        bind: The host and port to listen on.
        credentials: The access key and the secret key.
        door: Puts something before the gate.
    """
    application = importlib.import_module("ministack.app")
    persistence = importlib.import_module("ministack.core.persistence")
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [bind]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1.0  # long polls do not hold a stop up
    config.loglevel = "WARNING"
    hypercorn = importlib.import_module("hypercorn.asyncio")

    def save() -> None:
        persistence.save_all(application._build_persistence_save_dict())  # noqa: SLF001 - pinned, no public way

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    gate = Gate(application.app, credentials)
    saving = asyncio.create_task(keep_saving(gate, save))
    await hypercorn.serve(door(gate), config, shutdown_trigger=stop.wait, mode="asgi")
    saving.cancel()


def main() -> None:
    """Serve until SIGTERM; the environment is ministack's, set by our `object_store`."""
    environment = os.environ  # noqa: TID251 - ministack's own interface
    credentials = (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    asyncio.run(serve(f"127.0.0.1:{int(environment['GATEWAY_PORT'])}", credentials))


if __name__ == "__main__":
    main()
