"""Receivers of webhooks as platforms run them, and what sends to them."""

import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import text

from worker.database.audit import Actor
from worker.database.outbox import Outbox
from worker.database.session import Database
from worker.database.tables import WebhookDelivery
from worker.database.webhook_endpoints import Event, NewSecret, WebhookEndpoints
from worker.duties.webhooks import Sender

ME = Actor("me")
HUMAN_VERDICT = text(
    "INSERT INTO verdict (image_pk, verdict, decided_by, detectors, provenance) "
    "VALUES (:image, 'uncertain', 'human', '{}', '{}')"
)


@dataclass
class Receiver:
    """A platform's receiver: keeps what it gets and answers what it is told to."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    held: threading.Event | None = None
    after: float = 0.0
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


class Platform(ThreadingHTTPServer):
    """Serves one receiver."""

    daemon_threads = True
    request_queue_size = 128  # Assay sends twenty at once; the default of 5 resets some of them on a busy machine

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ended = threading.Event()
        self.receiver = Receiver(f"http://127.0.0.1:{self.server_port}/hook?of=assay")
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def end(self) -> None:
        if self.receiver.held:
            self.receiver.held.set()
        self.ended.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Platform

    def do_POST(self) -> None:
        receiver = self.server.receiver
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        with receiver.arrived:
            receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, sent))
            receiver.arrived.notify_all()
        if receiver.held:
            receiver.held.wait(30)
        self.server.ended.wait(receiver.after)
        self.send_response(receiver.status)
        for name, value in receiver.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # Assay has heard enough.
            self.wfile.write(receiver.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name.
        pass


def sender(database: Database, **changes: Any) -> Sender:
    wall = lambda: datetime.now(UTC).timestamp()  # noqa: E731 - one word for it.
    known = {"private": True, "disable_after_days": 5.0, "wall": wall, **changes}
    return Sender(Outbox(database), **known)


def listening(endpoints: WebhookEndpoints, receiver: Receiver, *events: Event) -> NewSecret:
    return endpoints.add(ME, receiver.url, events or list(Event))


def delivery(endpoints: WebhookEndpoints, made: NewSecret) -> WebhookDelivery:
    (found,) = endpoints.deliveries(made.endpoint.id, limit=9)
    return found


def let_time_pass(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE webhook_delivery SET due_at = now() WHERE due_at IS NOT NULL"))
        session.execute(text("UPDATE webhook_endpoint SET retry_at = NULL"))


def wait_for(receiver: Receiver, messages: int) -> None:
    """Return once a receiver has so many messages, which another thread sends."""
    with receiver.arrived:
        assert receiver.arrived.wait_for(lambda: len(receiver.got) >= messages, timeout=120)
