"""The SQS listener: long-polls the queue of bucket events, commits, and only then deletes."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from structlog.contextvars import bound_contextvars

from worker.errors import TransientError
from worker.ingest.events import ObjectCreated, UnknownEventError, parse_events
from worker.ingest.register import Intake, Registration, note_new
from worker.log import get_logger
from worker.metrics import EVENTS, SQS_TROUBLE
from worker.objects.clients import client_arguments
from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

log = get_logger()

_BATCH = 10  # the most that SQS hands out in one receive
_LONG_POLL_SECONDS = 5
_PAUSE_AFTER_TROUBLE_SECONDS = 2.0
# A queue gives a message up after some receives, so each pause is twice the one before.
_LONGEST_PAUSE_SECONDS = 60
_POSTPONED = "postponed"
# What became otherwise of a message leaves it in the queue, and it comes again.
_ACKNOWLEDGED = {"registered", "refused"}


class Registers(Protocol):
    """What ingest needs of :class:`~worker.ingest.register.Register`."""

    def __call__(self, created: ObjectCreated) -> Registration | None:
        """Register one object and commit."""


class RegistersTogether(Protocol):
    """Registers objects in one transaction; as :meth:`~worker.ingest.register.Register.together`."""

    def __call__(
        self, events: Sequence[ObjectCreated], each: Callable[..., Iterable[Any]]
    ) -> list[Registration | None]:
        """Register all of them and commit, or raise."""


class RegistersMany(Registers, Protocol):
    """Registers many objects at once, too."""

    def take_many(self, events: Sequence[ObjectCreated]) -> Intake:
        """Register those that the store has."""


class SqsListener:
    """Moves events from the queue to the database."""

    def __init__(
        self,
        client: "SQSClient",
        queue_url: str,
        register: Registers,
        note_round: Callable[[], None] = lambda: None,
        answers: Callable[[], bool] = lambda: True,
        *,
        together: RegistersTogether | None = None,
    ) -> None:
        """Keep the parts.

        Args:
            client: of the queue.
            queue_url: the queue's address.
            register: registers an object and commits.
            note_round: told of each round.
            answers: tells whether database and object store can be reached, asked after a message that met an outage.
            together: registers the objects of several messages in one transaction; without it each has its own.
        """
        self._client = client
        self._queue_url = queue_url
        self._register = register
        self._note_round = note_round
        self._answers = answers
        self._together = together

    def run(self, stop: threading.Event) -> None:
        """Listen until ``stop`` is set; trouble with the queue is logged and waited out."""
        with ThreadPoolExecutor(_BATCH, thread_name_prefix="ingest") as pool:
            while not stop.is_set():
                try:
                    outcomes = self._receive(pool, _LONG_POLL_SECONDS)
                    postponed = [message for message, outcome in outcomes if outcome == _POSTPONED]
                    if postponed:
                        self._wait_out(stop)
                        self._give_back(postponed)
                except (ClientError, BotoCoreError) as error:
                    log.warning("sqs_unreachable", error=str(error))
                    SQS_TROUBLE.inc()
                    stop.wait(_PAUSE_AFTER_TROUBLE_SECONDS)
                self._note_round()

    def receive_once(self, pool: ThreadPoolExecutor, wait_seconds: int = _LONG_POLL_SECONDS) -> int:
        """Receive once and handle what came; return how many messages were acknowledged."""
        return sum(outcome in _ACKNOWLEDGED for _, outcome in self._receive(pool, wait_seconds))

    def _wait_out(self, stop: threading.Event) -> None:
        """Receive nothing while a part is away: each receive counts, and good events would end as dead letters."""
        while not self._answers() and not stop.wait(_PAUSE_AFTER_TROUBLE_SECONDS):
            self._note_round()

    def _give_back(self, messages: "Sequence[MessageTypeDef]") -> None:
        """Let messages that met an outage come again once it is over, and not when the queue's own time is."""
        try:
            self._client.change_message_visibility_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {
                        "Id": str(number),
                        "ReceiptHandle": message["ReceiptHandle"],
                        "VisibilityTimeout": pause_of(message),
                    }
                    for number, message in enumerate(messages)
                ],
            )
        except ClientError as error:
            # Such as a role of an older release, without this right: they come by the queue's own time.
            log.warning("events_not_given_back", error=str(error))

    def _receive(self, pool: ThreadPoolExecutor, wait_seconds: int) -> "list[tuple[MessageTypeDef, str]]":
        """Receive, handle and acknowledge; return each message and what became of it."""
        answer = self._client.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=_BATCH,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        messages = answer.get("Messages", [])
        handled_at_once = self._handle_at_once(pool, messages) if len(messages) > 1 else None
        outcomes = list(zip(messages, handled_at_once or pool.map(self._handle, messages), strict=True))
        handled = [message for message, outcome in outcomes if outcome in _ACKNOWLEDGED]
        if handled:
            self._client.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(handled)
                ],
            )
        return outcomes

    def _handle_at_once(self, pool: ThreadPoolExecutor, messages: "Sequence[MessageTypeDef]") -> list[str] | None:
        """Register what all messages say in one transaction; return what became of each.

        None where anything is amiss with any of them. Then nothing was committed, and each is handled by itself.
        """
        if self._together is None:
            return None
        try:
            events = [list(parse_events(message.get("Body", ""))) for message in messages]
            flat = [created for of_message in events for created in of_message]
            registered = iter(self._together(flat, pool.map))
        except Exception as error:  # noqa: BLE001 - whoever is to blame meets it again, and is logged then.
            log.info("events_apart", messages=len(messages), error=type(error).__name__)
            return None
        return [
            self._note(message, [(created, next(registered)) for created in of_message])
            for message, of_message in zip(messages, events, strict=True)
        ]

    def _note(self, message: "MessageTypeDef", registered: Sequence[tuple[ObjectCreated, Registration | None]]) -> str:
        """Log and count what became of one message, and return it."""
        outcome = "registered"
        with bound_contextvars(message_id=message.get("MessageId")):
            for created, one in registered:
                if one is None:
                    log.warning("event_refused", bucket=created.bucket, key=created.keys[0])
                    outcome = "refused"
                else:
                    note_new(one)
        EVENTS.labels(outcome).inc()
        return outcome

    def _handle(self, message: "MessageTypeDef") -> str:
        """Register what one message says; return what became of it."""
        with bound_contextvars(message_id=message.get("MessageId")):
            outcome = self._outcome(message.get("Body", ""))
        EVENTS.labels(outcome).inc()
        return outcome

    def _outcome(self, body: str) -> str:
        outcome = "registered"
        try:
            for created in parse_events(body):
                if self._register(created) is None:
                    log.warning("event_refused", bucket=created.bucket, key=created.keys[0])
                    outcome = "refused"
        except UnknownEventError as error:
            # Left undeleted, so the queue's own dead-letter rule keeps it for a person to read.
            log.warning("event_unknown", error=str(error))
            return "unknown"
        except TransientError as error:
            log.warning("event_postponed", error=error.detail)
            return _POSTPONED
        except Exception:  # the boundary of a message: a defect that meets one must not hold up the others.
            log.exception("event_failed")
            return "failed"
        return outcome


def pause_of(message: "MessageTypeDef") -> int:
    """Return the seconds after which a message that met an outage comes again: none at first, up to a minute."""
    received = int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1"))
    return min((1 << min(received - 1, 10)) - 1, _LONGEST_PAUSE_SECONDS)


def sqs_client(settings: Settings) -> "SQSClient":
    """Return an SQS client for the settings."""
    return boto3.client("sqs", **client_arguments(settings, settings.sqs_endpoint_url))
