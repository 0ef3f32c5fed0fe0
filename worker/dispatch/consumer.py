"""Celery's consumer, such that a lost broker ends no worker: a new process would take half a minute to be warm."""

import time
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer

from worker.log import get_logger

log = get_logger()

# Flower may hear of a task so much later; to send each event by itself costs as much as to take a message.
_EVENTS_SECONDS = 0.25
# Celery's threads send what has gathered once it is so much. An AMQP connection bears one thread: of two, one reads the
# answer that the other waits for, for good. So the event loop alone sends.
_EVENTS_GATHERED = 1_000_000


class ReconnectingConsumer(Consumer):  # type: ignore[misc]  # celery is not typed
    """Reconnects where Celery's own would end the process.

    kombu 5.7 closes a Redis channel twice after a lost connection. By the second time the connection has forgotten its
    address, and an AttributeError ends the worker. So does a message that is acknowledged while there is no connection.
    """

    _events_due = 0.0
    _event_dispatcher: Any = None

    @property
    def event_dispatcher(self) -> Any:
        """What sends events; none of its threads does, from the moment that it is there."""
        return self._event_dispatcher

    @event_dispatcher.setter
    def event_dispatcher(self, dispatcher: Any) -> None:
        if dispatcher is not None:
            dispatcher.buffer_limit = _EVENTS_GATHERED
        self._event_dispatcher = dispatcher

    def on_send_event_buffered(self) -> None:
        """Send what has gathered for Flower in a while; any thread may call this, and timers are the event loop's."""
        now = time.monotonic()
        if self.hub and now >= self._events_due:
            self._events_due = now + _EVENTS_SECONDS
            self.hub.call_soon(self.hub.call_later, _EVENTS_SECONDS, self._flush_events)

    def call_soon_ack(self, p: Callable[..., object], *args: Any, **kwargs: Any) -> object:
        """Acknowledge or reject a message from the event loop, where its channel is still open.

        A closed channel has given its messages back to the broker: they come again, and leases tell that they are done.
        """
        message: Any = getattr(p, "__self__", None)

        def acknowledge(*late: object) -> None:
            if message is None or not getattr(message.channel, "closed", False):
                p(*late)
            else:
                log.info("acknowledgement_given_up", message_id=message.properties.get("correlation_id"))

        return super().call_soon_ack(acknowledge, *args, **kwargs)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Clean up after a lost connection; what cannot be closed is given up."""
        try:
            super().on_connection_error_after_connected(exc)
        except AttributeError as error:
            # Celery has let go of the connection before it closes it; any other AttributeError is a fault of its own.
            if self.connection is not None:
                raise
            log.warning("broker_connection_given_up", error=str(error))
