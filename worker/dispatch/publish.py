"""Rings Celery's bell: one message, one scan id."""

from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker.dispatch.celery_app import SCAN_TASK, TRAIN_TASK
from worker.dispatch.dispatcher import BrokerDownError
from worker.dispatch.queues import TRAINING_QUEUE

# The dispatcher tries again by itself; waiting inside kombu would only hide the trouble.
_RETRY = {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1}


class Publisher:
    """Sends scan ids to a Celery queue over one connection, and tells how many wait there."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __call__(self, queue: str, scan_ids: Sequence[int]) -> None:
        """Send one message for each scan id.

        Raises:
            BrokerDownError: the broker did not take them all; some may have gone out.
        """
        try:
            with self._app.producer_or_acquire() as producer:
                for scan_id in scan_ids:
                    self._app.send_task(
                        SCAN_TASK, args=(scan_id,), queue=queue, producer=producer, retry=True, retry_policy=_RETRY
                    )
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerDownError(str(error)) from error

    def ring_for_training(self, times: int) -> None:
        """Wake as many training workers; raises BrokerDownError."""
        try:
            with self._app.producer_or_acquire() as producer:
                for _ in range(times):
                    self._app.send_task(
                        TRAIN_TASK, queue=TRAINING_QUEUE, producer=producer, retry=True, retry_policy=_RETRY
                    )
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerDownError(str(error)) from error

    def waiting(self, queue: str) -> int:
        """Return how many messages no worker has taken yet; raises BrokerDownError."""
        try:
            with self._app.producer_or_acquire() as producer:
                # Declaring a queue that exists changes nothing and tells its length, whatever the broker. RabbitMQ
                # refuses a declaration that differs from the worker's, so all that may differ is said.
                state = producer.channel.queue_declare(queue, durable=True, exclusive=False, auto_delete=False)
                return int(state.message_count)
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerDownError(str(error)) from error
