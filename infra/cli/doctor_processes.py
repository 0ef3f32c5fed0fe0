"""The doctor's look at Assay's own processes: each is asked something that only a living one answers."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError

from sqlalchemy import extract, func, select

from infra.embedded.addresses import read_running_stack
from infra.stack import Doors, running_doors, without_proxy
from worker.database.session import Database, connect
from worker.database.tables import Duty
from worker.dispatch.celery_app import make_celery
from worker.errors import AssayError
from worker.ingest.sqs import sqs_client
from worker.settings import Settings

_ANSWER_SECONDS = 5.0
_PING_SECONDS = 3.0
_LOOKS = 4  # at the queue, a second apart
_DUTY_IS_RECENT_SECONDS = 60.0  # the duty `alive` runs every 5 s


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Connect to the database for one look at it."""
    database = connect(settings.database_url.get_secret_value())
    try:
        yield database
    finally:
        database.engine.dispose()


def listener(settings: Settings) -> str:
    """Say what is in the queue of events; events that nobody takes ail."""
    if not settings.sqs_queue_url:
        return "no queue is set; events come by webhook and sweep"
    client = sqs_client(settings)
    for look in range(_LOOKS):
        time.sleep(min(look, 1))
        attributes = client.get_queue_attributes(QueueUrl=settings.sqs_queue_url, AttributeNames=["All"])["Attributes"]
        waiting = int(attributes["ApproximateNumberOfMessages"])
        taken = int(attributes["ApproximateNumberOfMessagesNotVisible"])
        if taken or not waiting:
            return f"{waiting} events wait, {taken} are being handled"
    raise AssayError(f"{waiting} events wait and nobody takes them")


def dispatcher(settings: Settings) -> str:
    """Say when a dispatcher last did its duties."""
    with opened(settings) as database:
        with database.transaction() as session:
            since = extract("epoch", func.now() - Duty.last_finished_at)
            age = session.scalar(select(since).where(Duty.name == "alive"))
        if age is None:
            raise AssayError("no dispatcher has ever done its duties on this database")
        if age < _DUTY_IS_RECENT_SECONDS:
            return f"a dispatcher did its duties {age:.0f} s ago"
        with database.lock("duty.sweep") as idle:
            if not idle:  # other duties wait for a long sweep, which only a living dispatcher runs
                return "a dispatcher is sweeping the buckets"
    raise AssayError(f"no dispatcher has done its duties for {age:.0f} s")


def worker(settings: Settings) -> str:
    """Ping the workers over the broker."""
    answers = make_celery(settings).control.ping(timeout=_PING_SECONDS)
    # Training workers listen to the same broker and scan nothing.
    names = [name for answer in answers for name in answer if not name.startswith("training@")]
    if not names:
        raise AssayError(f"no worker answered within {_PING_SECONDS:.0f} s")
    return f"{', '.join(names)} answers"


def api(settings: Settings) -> str:
    """Ask the API whether it is ready."""
    doors = _embedded_doors(settings)
    url = doors.api_url if doors else f"http://{settings.api_host}:{settings.api_port}"
    try:
        with without_proxy().open(f"{url}/health/ready", timeout=_ANSWER_SECONDS):
            return f"{url} is ready"
    except HTTPError as error:
        raise AssayError(f"{url}: {json.load(error)['detail']}") from error


def flower(settings: Settings) -> str:
    """Ask Flower whether it lives; it only runs where it has a password."""
    doors = _embedded_doors(settings)
    if doors is None and settings.flower_basic_auth is None:
        return "not asked; it runs where ASSAY_FLOWER_BASIC_AUTH is set"
    if doors is None and "flower_host" not in settings.model_fields_set:
        return "not asked; ASSAY_FLOWER_HOST does not say where it is"
    url = doors.flower_url if doors else f"http://{settings.flower_host}:{settings.flower_port}"
    with without_proxy().open(f"{url}/healthcheck", timeout=_ANSWER_SECONDS):
        return f"{url} answers"


def _embedded_doors(settings: Settings) -> Doors | None:
    return running_doors(settings.data_dir) if read_running_stack(settings.data_dir) else None
