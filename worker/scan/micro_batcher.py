"""The micro-batcher: many waiting threads, one thread that owns the device.

A thread submits one item for a call and waits on a future; the batcher thread
gathers items of the same call until the batch is full or the oldest has waited
long enough. Live images go first, and what is history comes in short batches
(:mod:`worker.decisions.turns`). A batch that fails is retried in halves down to single items, so
only the culprit gets the error. Running out of memory halves the batch size
for good. What goes in comes out: a call that returns another length fails.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

from worker.decisions.turns import Batch, choose_batch
from worker.errors import TransientError, WedgedError
from worker.log import get_logger
from worker.scan.costs import Costs

log = get_logger()

Item = TypeVar("Item")
Result = TypeVar("Result")
Call = Callable[[Sequence[Item]], Sequence[Result]]


class BatcherStoppedError(TransientError):
    """The worker is shutting down; the scan goes to another one."""


@dataclass
class _Waiting:
    call: Call[Any, Any]
    item: Any
    alone: bool
    bulk: bool
    since: float
    future: Future[Any] = field(default_factory=Future)


class MicroBatcher:
    """Gathers single items into batches for the thread that owns the device."""

    def __init__(
        self,
        *,
        max_batch: int,
        max_wait_seconds: float,
        timeout_seconds: float,
        monotonic: Callable[[], float],
        is_out_of_memory: Callable[[BaseException], bool],
        observe_batch: Callable[[int], None] = lambda _size: None,
    ) -> None:
        """Keep the limits; :meth:`start` starts the thread.

        Args:
            max_batch: most items in one call.
            max_wait_seconds: longest wait of the oldest item for company.
            timeout_seconds: a call that takes longer means the device is wedged.
            monotonic: clock, in seconds.
            is_out_of_memory: tells whether an error means the batch was too big.
            observe_batch: told the size of each batch.
        """
        self._max_batch = max_batch
        self._max_wait = max_wait_seconds
        self._timeout = timeout_seconds
        self._monotonic = monotonic
        self._is_out_of_memory = is_out_of_memory
        self._observe_batch = observe_batch
        self._waiting: list[_Waiting] = []
        self._costs = Costs()
        self._changed = threading.Condition()
        self._stopping = False
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)

    def start(self) -> None:
        """Start the thread that owns the device."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is waiting, then end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(self._timeout)

    def alive(self) -> bool:
        """Tell whether the device thread runs, and is not in one call beyond its deadline."""
        busy_since = self._busy_since
        wedged = busy_since is not None and self._monotonic() - busy_since >= self._timeout
        return self._thread.is_alive() and not wedged

    def __call__(self, call: Call[Item, Result], item: Item, *, alone: bool = False, bulk: bool = False) -> Result:
        """Run ``call`` over a batch that holds ``item`` and return the item's own result.

        Items of the same call share batches; ``alone`` keeps an item by itself, ``bulk`` lets it wait for others.

        Raises:
            WedgedError: the device thread has been in one call for longer than
                its deadline; the process should end.
            Exception: whatever the call raised for this item alone.
        """
        (result,) = self.run_all(call, [item], alone=alone, bulk=bulk)
        return result

    def run_all(
        self, call: Call[Item, Result], items: Sequence[Item], *, alone: bool = False, bulk: bool = False
    ) -> list[Result]:
        """Run ``call`` over batches that hold the items and return their results in order; raises as a call for one."""
        entries = [_Waiting(call, item, alone, bulk, self._monotonic()) for item in items]
        with self._changed:
            if self._stopping:
                raise BatcherStoppedError
            self._waiting.extend(entries)
            self._changed.notify_all()
        return [self._result_of(entry) for entry in entries]

    def _result_of(self, entry: _Waiting) -> Any:
        while not wait([entry.future], self._timeout).done:
            # A long queue is no fault of the device; one endless call is.
            busy_since = self._busy_since
            if busy_since is not None and self._monotonic() - busy_since >= self._timeout:
                raise WedgedError
            if not self._thread.is_alive() and not entry.future.done():
                raise WedgedError("the device thread has ended")
        return entry.future.result()

    def _run(self) -> None:
        while batch := self._gather():
            self._observe_batch(len(batch))
            self._run_halving(batch)

    def _gather(self) -> list[_Waiting]:
        """Wait for a batch: full, or as old as it may grow; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if not self._waiting:
                return []
            batch = self._choose()
            while (left := self._seconds_left(batch)) > 0:
                self._changed.wait(left)
                batch = self._choose()
            return self._take(batch.members)

    def _seconds_left(self, batch: Batch) -> float:
        """Return how long a batch may still wait for company."""
        if self._stopping or batch.is_full:
            return 0.0
        oldest = min(self._waiting[place].since for place in batch.members)
        return oldest + self._max_wait - self._monotonic()

    def _take(self, places: Sequence[int]) -> list[_Waiting]:
        entries = [self._waiting[place] for place in places]
        self._waiting = [entry for place, entry in enumerate(self._waiting) if place not in places]
        return entries

    def _choose(self) -> Batch:
        return choose_batch(self._waiting, max_batch=self._max_batch, seconds_of=self._costs.seconds_of)

    def _run_halving(self, batch: list[_Waiting]) -> None:
        error = self._run_once(batch)
        if error is None:
            return
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        half = len(batch) // 2
        if self._is_out_of_memory(error):
            self._max_batch = min(self._max_batch, half)
        log.warning("batch_halved", size=len(batch), error=repr(error), max_batch=self._max_batch)
        # Its traceback holds what the failed call had on the device; the halves need that room.
        del error
        self._run_halving(batch[:half])
        self._run_halving(batch[half:])

    def _run_once(self, batch: list[_Waiting]) -> Exception | None:
        """Run one call and hand out its results, or return what it raised."""
        self._busy_since = begin = self._monotonic()
        try:
            results = batch[0].call([entry.item for entry in batch])
            self._costs.note(batch[0].call, (self._monotonic() - begin) / len(batch))
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} items went in, {len(results)} results came out")
        except Exception as error:  # noqa: BLE001 - the boundary of the device thread; the error goes to its waiter.
            return error
        finally:
            self._busy_since = None
        for entry, result in zip(batch, results, strict=True):
            entry.future.set_result(result)
        return None
