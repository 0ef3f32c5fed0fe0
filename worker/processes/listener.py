"""The listener's process: the queue of bucket events, read until it is told to stop."""

import time
from collections.abc import Sequence
from functools import partial

from sqlalchemy import text

from worker.database.session import Database
from worker.errors import AssayError, TransientError
from worker.ingest.sqs import SqsListener, sqs_client
from worker.objects.object_store import ObjectStore, object_store
from worker.processes.metrics_server import Rounds, serve_metrics
from worker.processes.wiring import LONGEST_ROUND_SECONDS, build_database, build_register, stop_on_signal
from worker.settings import Settings


class NoQueueError(AssayError):
    """There is no queue to listen to; set ASSAY_SQS_QUEUE_URL, or use the webhook route and the sweep."""


def run_listener(settings: Settings) -> None:
    """Listen to the queue of bucket events until SIGTERM or SIGINT.

    Raises:
        NoQueueError: the settings name no queue.
    """
    if not settings.sqs_queue_url:
        raise NoQueueError
    database = build_database(settings)
    rounds = Rounds("listener", LONGEST_ROUND_SECONDS, time.monotonic)
    register = build_register(settings, database)
    answers = partial(parts_answer, database, object_store(settings), settings.upload_buckets)
    listener = SqsListener(
        sqs_client(settings), settings.sqs_queue_url, register, rounds.note, answers, together=register.together
    )
    stop = stop_on_signal()
    serve_metrics(settings, rounds.alive)
    listener.run(stop)


def parts_answer(database: Database, objects: ObjectStore, buckets: Sequence[str]) -> bool:
    """Tell whether the database and the object store can be reached; one bucket alone may well be lacking."""
    try:
        with database.transaction() as session:
            session.execute(text("SELECT 1"))
    except TransientError:
        return False
    return any(objects.reachable(bucket) for bucket in buckets)
