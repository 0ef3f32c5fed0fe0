"""Endpoints that fail, go away or lead inside, secrets that rotate, and deliveries that are given up."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.integration.api.conftest import Rows
from tests.integration.worker.webhooks.receivers import ME, Receiver, delivery, let_time_pass, listening, sender
from worker.database.erasure import Erasure
from worker.database.session import Database
from worker.database.tables import WebhookEndpoint
from worker.database.webhook_endpoints import Event, WebhookEndpoints
from worker.duties.webhooks import BACKOFF_SECONDS, Sender

pytestmark = pytest.mark.integration


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
