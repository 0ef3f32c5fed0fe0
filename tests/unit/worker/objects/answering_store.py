"""A store that answers what a test tells it to."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
from botocore.config import Config

from tests.support.fakes import FakeClock
from worker.objects.clients import client_arguments
from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


NO_LENGTH = -1  # announced: the answer ends with its connection


@dataclass
class Answer:
    """What the server says next, and what it was asked."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    announced: int | None = None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    monotonic: Callable[[], float] = field(default_factory=FakeClock)
    end: threading.Event = field(default_factory=threading.Event)

    def now(self) -> float:
        return self.monotonic()


class Handler(BaseHTTPRequestHandler):
    answer: ClassVar[Answer]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer.asked.append((self.path, dict(self.headers)))
        self.answer.received.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.send_response(self.answer.status)
        for name, value in self.answer.headers.items():
            self.send_header(name, value)
        announced = self.answer.announced
        if announced != NO_LENGTH:
            self.send_header("Content-Length", str(len(self.answer.body) if announced is None else announced))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.answer.body)
        self.answer.end.wait()
        self.close_connection = announced is not None

    do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815 - the base class names them so.

    def log_message(self, *arguments: Any) -> None:
        del arguments


@contextmanager
def client_of(answer: Answer) -> Iterator["S3Client"]:
    """Give a client, which tries once, of a server that gives this answer."""
    handler = type("TestHandler", (Handler,), {"answer": answer})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings = Settings.model_validate({"s3_access_key_id": "key", "s3_secret_access_key": "secret"})
    arguments = client_arguments(settings, f"http://127.0.0.1:{server.server_port}")
    arguments["config"] = arguments["config"].merge(Config(retries={"max_attempts": 0}))
    client = boto3.client("s3", **arguments)
    yield client
    answer.end.set()
    client.close()
    server.shutdown()
    server.server_close()
    thread.join()


def error_of(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()


OUTAGES = [
    (503, "SlowDown"),
    (500, "InternalError"),
    (429, "Anything"),
    (403, "InvalidAccessKeyId"),
    (403, "SignatureDoesNotMatch"),
    (400, "ExpiredToken"),
    (400, "InvalidToken"),
]
REFUSALS = [(403, "AccessDenied"), (403, "InvalidObjectState"), (400, "KMS.DisabledException"), (403, "")]
