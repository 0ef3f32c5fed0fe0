"""Events for Flower are sent together."""

from collections.abc import Callable
from typing import Any

import pytest
from celery.events import EventDispatcher

from worker.dispatch.consumer import ReconnectingConsumer


class Hub:
    """Holds what is to be called soon, and the timers that were set."""

    def __init__(self) -> None:
        self.soon: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.timers: list[float] = []

    def call_soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.soon.append((call, arguments))

    def call_later(self, seconds: float, _call: Callable[[], None]) -> None:
        self.timers.append(seconds)


def test_events_that_come_at_once_are_sent_together_by_a_timer_of_the_event_loop() -> None:
    consumer, hub = ReconnectingConsumer.__new__(ReconnectingConsumer), Hub()
    consumer.hub = hub
    for _ in range(5):
        consumer.on_send_event_buffered()
    assert hub.timers == []  # timers are the event loop's, and events come from other threads
    (call, arguments), *others = hub.soon
    call(*arguments)
    assert (hub.timers, others) == ([0.25], [])


def test_events_are_sent_again_after_a_timer_that_was_lost_with_its_connection() -> None:
    consumer, hub = ReconnectingConsumer.__new__(ReconnectingConsumer), Hub()
    consumer.hub = hub
    consumer.on_send_event_buffered()
    consumer._events_due -= 0.25
    consumer.on_send_event_buffered()
    assert len(hub.soon) == 2


def test_without_an_event_loop_nothing_is_sent() -> None:
    consumer = ReconnectingConsumer.__new__(ReconnectingConsumer)
    consumer.hub = None
    consumer.on_send_event_buffered()


def test_no_thread_but_the_event_loop_s_sends_events(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = ReconnectingConsumer.__new__(ReconnectingConsumer)
    sent: list[str] = []
    dispatcher = EventDispatcher(enabled=False, buffer_group=["task"], on_send_buffered=lambda: None)
    monkeypatch.setattr(dispatcher, "flush", lambda: sent.append("by the thread that told"))
    dispatcher.enabled = True
    consumer.event_dispatcher = dispatcher
    for _ in range(1000):
        dispatcher.send("task-started")
    assert sent == []
    consumer.event_dispatcher = None
    assert consumer.event_dispatcher is None
