"""Webhooks reach a real receiver, signed so that an independent library believes them."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import func, select, text
from standardwebhooks import Webhook, WebhookVerificationError

from tests.integration.api.conftest import BUNDLE, Rows
from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.labels import Labels
from worker.database.outbox import Outbox
from worker.database.promotion import Bundles
from worker.database.session import Database
from worker.database.tables import Bundle, BundleRole, LabelValue, Scan, ScanState, WebhookDelivery, WebhookEndpoint
from worker.database.webhook_endpoints import Event, NewSecret, WebhookEndpoints
from worker.decisions.vocabulary import VerdictValue
from worker.duties.webhooks import BACKOFF_SECONDS, Sender

pytestmark = pytest.mark.integration

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


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    platforms: list[Platform] = []

    def make() -> Receiver:
        platforms.append(Platform())
        return platforms[-1].receiver

    yield make
    for platform in platforms:
        platform.end()


@pytest.fixture
def rows(database: Database) -> Rows:
    with database.transaction() as session:
        session.add(Bundle(version=BUNDLE, name="t", role=BundleRole.REGISTERED, location="x", card={}))
    return Rows(database)


@pytest.fixture
def endpoints(database: Database) -> WebhookEndpoints:
    return WebhookEndpoints(database)


@pytest.fixture
def send(database: Database) -> Sender:
    return sender(database)


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


def test_a_verdict_arrives_once_and_an_independent_library_believes_its_signature(
    receivers: Callable[[], Receiver], endpoints: WebhookEndpoints, send: Sender, rows: Rows
) -> None:
    receiver = receivers()
    made = listening(endpoints, receiver)
    verdict = rows.verdict(rows.image("cät/1", key="cat.jpg"), verdict=VerdictValue.AI_GENERATED)
    assert [send(), send()] == [1, 0]
    ((headers, body),) = receiver.got
    told = Webhook(made.secret).verify(body, headers)
    assert (told["type"], told["data"]["image_id"]) == ("verdict.created", "cät/1")
    assert (told["data"]["verdict"], told["data"]["verdict_id"]) == ("ai_generated", verdict)
    assert headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(made.secret).verify(body.replace(b"ai_generated", b"uncertain"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoints.add(ME, receiver.url, [Event.SCAN_DEAD]).secret).verify(body, headers)


def test_a_verdict_that_is_taken_back_is_told_to_nobody(
    receivers: Callable[[], Receiver], endpoints: WebhookEndpoints, rows: Rows, database: Database
) -> None:
    listening(endpoints, receivers())
    image = rows.image("cat")
    with database.engine.connect() as connection:
        connection.execute(HUMAN_VERDICT, {"image": image})
        assert connection.scalar(select(func.count()).select_from(WebhookDelivery)) == 1
        connection.rollback()
        assert connection.scalar(select(func.count()).select_from(WebhookDelivery)) == 0


def test_nothing_waits_where_nobody_listens(rows: Rows, database: Database) -> None:
    rows.verdict(rows.image("cat"))
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 0


def test_each_endpoint_is_told_of_what_it_asked_for(
    receivers: Callable[[], Receiver],
    endpoints: WebhookEndpoints,
    send: Sender,
    rows: Rows,
    database: Database,
) -> None:
    created, changed, rest = receivers(), receivers(), receivers()
    listening(endpoints, created, Event.VERDICT_CREATED)
    listening(endpoints, changed, Event.VERDICT_CHANGED)
    listening(endpoints, rest, Event.SCAN_REJECTED, Event.SCAN_DEAD, Event.BUNDLE_PROMOTED)
    image = rows.image("cat")
    rows.verdict(image)
    rows.verdict(image, shadow=True, policy_version=rows.policy())
    rows.verdict(image, policy_version=rows.policy())  # says the same again
    Labels(database).add(ME, "cat", LabelValue.AI_GENERATED, reviewer="maria", reason="hands")
    rows.verdict(image, policy_version=rows.policy(), verdict=VerdictValue.NOT_AI_GENERATED)  # a person outranks it
    rejected, dead = (rows.scan(rows.image(name), ScanState.LEASED) for name in ("broken", "lost"))
    with database.transaction() as session:
        session.get_one(Scan, rejected).state, session.get_one(Scan, rejected).reason = "rejected", "undecodable"
        session.get_one(Scan, dead).state = "dead"
    Bundles(database).promote(ME, BUNDLE, "better")
    send()
    assert sorted(told["data"]["decided_by"] for told in created.messages()) == ["human"] + ["machine"] * 3
    (told,) = changed.messages()
    assert (told["data"]["previous"], told["data"]["verdict"]) == ("uncertain", "ai_generated")
    by_type = {told["type"]: told["data"] for told in rest.messages()}
    assert (by_type["scan.rejected"]["image_id"], by_type["scan.rejected"]["reason"]) == ("broken", "undecodable")
    assert (by_type["scan.dead"]["image_id"], by_type["bundle.promoted"]["bundle_version"]) == ("lost", BUNDLE)


def test_what_fails_comes_again_under_the_same_id_and_holds_up_nobody(  # noqa: PLR0917 (fixtures)
    receivers: Callable[[], Receiver],
    endpoints: WebhookEndpoints,
    send: Sender,
    rows: Rows,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.duties.webhooks._PAUSE_SECONDS", (3600.0,))  # longer than a busy machine takes
    broken, well = receivers(), receivers()
    broken.status = 500
    made = listening(endpoints, broken)
    listening(endpoints, well)
    for number in range(30):
        rows.verdict(rows.image(f"i{number}"))
    assert send() == 30
    asked = len(broken.got)
    assert asked <= 20, "an endpoint that fails is left alone for a while"
    assert send() == 0
    assert len(broken.got) == asked
    first = broken.got[0][0]["webhook-id"]
    broken.status = 204
    let_time_pass(database)
    assert send() == 30
    assert [headers["webhook-id"] for headers, _ in broken.got].count(first) == 2
    found = endpoints.get(made.endpoint.id)
    assert found is not None
    assert (found.failing_since, found.failures, found.retry_at) == (None, 0, None)


def wait_for(receiver: Receiver, messages: int) -> None:
    """Return once a receiver has so many messages, which another thread sends."""
    with receiver.arrived:
        assert receiver.arrived.wait_for(lambda: len(receiver.got) >= messages, timeout=120)


def test_an_endpoint_that_does_not_answer_holds_up_no_other(
    receivers: Callable[[], Receiver], endpoints: WebhookEndpoints, send: Sender, rows: Rows
) -> None:
    silent, fast = receivers(), receivers()
    silent.held = threading.Event()
    listening(endpoints, silent)
    listening(endpoints, fast)
    for number in range(60):
        rows.verdict(rows.image(f"i{number}"))
    sending = threading.Thread(target=send)
    sending.start()
    wait_for(fast, 60)
    assert len(silent.got) <= 20, "none of them was answered, so no more were sent"
    # What comes while one endpoint is still waited for is sent as well.
    rows.verdict(rows.image("later"))
    wait_for(fast, 61)
    assert len(silent.got) <= 20
    silent.held.set()
    sending.join(120)


@pytest.mark.slow
def test_two_hundred_messages_take_at_most_half_as_long_again_beside_an_endpoint_that_answers_after_eight_seconds(
    receivers: Callable[[], Receiver], endpoints: WebhookEndpoints, send: Sender, rows: Rows
) -> None:
    fast = receivers()
    listening(endpoints, fast, Event.VERDICT_CREATED)

    def seconds_for_200() -> float:
        before = len(fast.got)
        for number in range(200):
            rows.verdict(rows.image(f"i{before + number}"))
        sending = threading.Thread(target=send)
        started = time.monotonic()
        sending.start()
        wait_for(fast, before + 200)
        took = time.monotonic() - started
        for endpoint in endpoints.all():  # what waits for the slow one would take a minute more
            endpoints.change(ME, endpoint.id, enabled=endpoint.url == fast.url)
        sending.join(60)
        return took

    alone = seconds_for_200()
    slow = receivers()
    slow.after = 8.0
    listening(endpoints, slow, Event.VERDICT_CREATED)
    beside = seconds_for_200()
    assert 0 < len(slow.got) < 200
    assert beside / alone <= 1.5


def test_after_a_rotation_both_secrets_sign_for_a_day(
    receivers: Callable[[], Receiver],
    endpoints: WebhookEndpoints,
    send: Sender,
    rows: Rows,
    database: Database,
) -> None:
    receiver = receivers()
    made = listening(endpoints, receiver)
    rotated = endpoints.rotate(ME, made.endpoint.id)
    assert rotated is not None
    image = rows.image("cat")
    rows.verdict(image)
    send()
    headers, body = receiver.got[0]
    for secret in (made.secret, rotated.secret):
        assert Webhook(secret).verify(body, headers)
    with database.transaction() as session:
        endpoint = session.get_one(WebhookEndpoint, made.endpoint.id)
        endpoint.previous_secret_until = datetime.now(UTC) - timedelta(seconds=1)
    rows.verdict(image, policy_version=rows.policy())
    send()
    headers, body = receiver.got[1]
    assert Webhook(rotated.secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(made.secret).verify(body, headers)


def test_an_endpoint_that_fails_for_days_or_says_gone_is_disabled_until_it_is_enabled_again(
    receivers: Callable[[], Receiver],
    endpoints: WebhookEndpoints,
    send: Sender,
    rows: Rows,
    database: Database,
) -> None:
    weary, gone = receivers(), receivers()
    weary.status, gone.status = 503, 410
    made = [listening(endpoints, weary), listening(endpoints, gone)]
    with database.transaction() as session:
        endpoint = session.get_one(WebhookEndpoint, made[0].endpoint.id)
        endpoint.failing_since = datetime.now(UTC) - timedelta(days=6)
    rows.verdict(rows.image("cat"))
    send()
    known = [endpoints.get(one.endpoint.id) for one in made]
    assert [one.disabled_reason for one in known if one] == ["failed for 5 days", "answered 410 Gone"]
    rows.verdict(rows.image("dog"))
    let_time_pass(database)
    assert (send(), len(weary.got), len(gone.got)) == (0, 1, 1)
    weary.status = 200
    endpoints.change(ME, made[0].endpoint.id, enabled=True)
    let_time_pass(database)
    assert (send(), len(weary.got)) == (1, 2)


def test_a_delivery_is_given_up_after_its_last_attempt_and_sent_again_when_asked(
    receivers: Callable[[], Receiver],
    endpoints: WebhookEndpoints,
    send: Sender,
    rows: Rows,
    database: Database,
) -> None:
    receiver = receivers()
    receiver.status = 400
    made = listening(endpoints, receiver)
    rows.verdict(rows.image("cat"))
    for _ in range(len(BACKOFF_SECONDS) + 3):
        let_time_pass(database)
        send()
    given_up = delivery(endpoints, made)
    assert (len(receiver.got), given_up.due_at, given_up.last_status) == (len(BACKOFF_SECONDS) + 1, None, 400)
    receiver.status = 200
    let_time_pass(database)
    assert send() == 0
    endpoints.redeliver(ME, made.endpoint.id, given_up.id)
    assert send() == 1
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


def test_redirects_are_not_followed_and_count_as_failures(
    receivers: Callable[[], Receiver], endpoints: WebhookEndpoints, send: Sender, rows: Rows
) -> None:
    inside, outside = receivers(), receivers()
    outside.status, outside.headers = 307, {"Location": inside.url}
    made = listening(endpoints, outside)
    rows.verdict(rows.image("cat"))
    assert (send(), inside.got, delivery(endpoints, made).last_status) == (0, [], 307)


def test_nothing_is_sent_to_an_address_inside_even_when_a_public_name_leads_there(
    receivers: Callable[[], Receiver], endpoints: WebhookEndpoints, rows: Rows, database: Database
) -> None:
    async def leads_inside(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    receiver = receivers()
    port = receiver.url.split(":")[2].split("/")[0]
    made = endpoints.add(ME, f"https://rebind.example:{port}/", [Event.VERDICT_CREATED])
    rows.verdict(rows.image("cat"))
    assert sender(database, private=False, resolve=leads_inside)() == 0
    assert (receiver.got, delivery(endpoints, made).last_error) == ([], "the host has an address that is not public")


def test_the_request_goes_to_the_address_that_was_checked_under_the_name_that_was_given(
    receivers: Callable[[], Receiver], endpoints: WebhookEndpoints, rows: Rows, database: Database
) -> None:
    asked = 0

    async def once_here(_host: str, _port: int) -> Sequence[str]:
        nonlocal asked
        asked += 1
        return ["127.0.0.1"] if asked == 1 else ["203.0.113.1"]

    receiver = receivers()
    url = receiver.url.replace("127.0.0.1", "platform.example")
    endpoints.add(ME, url, [Event.VERDICT_CREATED])
    rows.verdict(rows.image("cat"))
    assert sender(database, resolve=once_here)() == 1
    assert (asked, receiver.got[0][0]["host"]) == (1, url.split("/")[2])


def test_a_receiver_that_does_not_answer_is_left_after_a_while(
    receivers: Callable[[], Receiver],
    endpoints: WebhookEndpoints,
    send: Sender,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receiver = receivers()
    receiver.held = threading.Event()
    made = listening(endpoints, receiver)
    rows.verdict(rows.image("cat"))
    monkeypatch.setattr("worker.duties.webhooks.TOTAL_SECONDS", 0.3)
    assert send() == 0
    assert (delivery(endpoints, made).last_error or "").startswith("no answer within")


def test_only_the_beginning_of_a_long_answer_is_read(
    receivers: Callable[[], Receiver], endpoints: WebhookEndpoints, send: Sender, rows: Rows
) -> None:
    receiver = receivers()
    receiver.body = b"x" * 50_000_000
    listening(endpoints, receiver)
    rows.verdict(rows.image("cat"))
    assert send() == 1


def test_an_erased_image_is_told_of_no_more(
    receivers: Callable[[], Receiver],
    endpoints: WebhookEndpoints,
    send: Sender,
    rows: Rows,
    database: Database,
) -> None:
    receiver = receivers()
    made = listening(endpoints, receiver)
    rows.verdict(rows.image("cat"))
    Erasure(database, "artifacts").erase(ME, "cat")
    assert (send(), receiver.got) == (0, [])
    assert (delivery(endpoints, made).due_at, delivery(endpoints, made).last_error) == (None, "The image was erased.")


def test_two_senders_send_nothing_twice(
    receivers: Callable[[], Receiver],
    endpoints: WebhookEndpoints,
    rows: Rows,
    database: Database,
    together: Callable[..., list[Any]],
) -> None:
    receiver = receivers()
    listening(endpoints, receiver, Event.VERDICT_CREATED)
    for number in range(25):
        rows.verdict(rows.image(f"i{number}"))
    assert sum(together(sender(database), sender(database))) == 25
    assert len(receiver.got) == 25
