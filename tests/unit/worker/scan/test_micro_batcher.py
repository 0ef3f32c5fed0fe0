"""What goes into the micro-batcher comes out at the thread that put it in, whatever its neighbours do."""

import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import FakeClock
from worker.errors import WedgedError
from worker.scan.micro_batcher import BatcherStoppedError, MicroBatcher

PATIENCE = 10.0


class Device:
    """Doubles numbers and remembers the batches; a poisonous number fails the batch that holds it."""

    def __init__(self, *, poison: Sequence[int] = (), memory: int = 1_000) -> None:
        self.batches: list[list[int]] = []
        self._poison = frozenset(poison)
        self._memory = memory

    def double(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        if len(batch) > self._memory:
            raise MemoryError
        for number in batch:
            if number in self._poison:
                raise ValueError(f"poison {number}")
        return [2 * number for number in batch]

    def negate(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        return [-number for number in batch]


def is_memory_error(error: BaseException) -> bool:
    return isinstance(error, MemoryError)


def make_batcher(
    *,
    max_batch: int = 4,
    max_wait: float = 0.0,
    timeout: float = PATIENCE,
    clock: Callable[[], float] | None = None,
    observe: Callable[[int], None] = lambda _size: None,
) -> MicroBatcher:
    return MicroBatcher(
        max_batch=max_batch,
        max_wait_seconds=max_wait,
        timeout_seconds=timeout,
        monotonic=clock or FakeClock(),
        is_out_of_memory=is_memory_error,
        observe_batch=observe,
    )


def wait_until_queued(batcher: MicroBatcher, count: int) -> None:
    with batcher._changed:
        assert batcher._changed.wait_for(lambda: len(batcher._waiting) == count, PATIENCE)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


def submit(
    pool: ThreadPoolExecutor, batcher: MicroBatcher, call: Any, *items: int, alone: bool = False, bulk: bool = False
) -> list[Future[int]]:
    """Queue items in this order, each from a thread of its own, before the batcher starts."""
    waiting = len(batcher._waiting)
    futures = []
    for item in items:
        futures.append(pool.submit(batcher, call, item, alone=alone, bulk=bulk))
        waiting += 1
        wait_until_queued(batcher, waiting)
    return futures


def results(futures: Sequence[Future[int]]) -> list[Any]:
    """Give what each thread got back: its result, or the error it was raised."""
    errors = [future.exception(PATIENCE) for future in futures]
    return [error or future.result() for error, future in zip(errors, futures, strict=True)]


def test_a_full_batch_does_not_wait(pool: ThreadPoolExecutor) -> None:
    device, sizes = Device(), list[int]()
    batcher = make_batcher(max_wait=1e6, observe=sizes.append)
    futures = submit(pool, batcher, device.double, 1, 2, 3, 4)
    batcher.start()
    assert results(futures) == [2, 4, 6, 8]
    assert device.batches == [[1, 2, 3, 4]]
    assert sizes == [4]
    batcher.stop()


def test_what_does_not_fill_a_batch_leaves_when_the_oldest_has_waited_enough(pool: ThreadPoolExecutor) -> None:
    device, clock = Device(), FakeClock()
    batcher = make_batcher(max_wait=10, clock=clock)
    futures = submit(pool, batcher, device.double, 1)
    batcher.start()
    clock.advance(10)
    futures.append(pool.submit(batcher, device.double, 2))
    assert results(futures) == [2, 4]
    assert device.batches == [[1, 2]]
    batcher.stop()


def test_no_batch_is_larger_than_allowed(pool: ThreadPoolExecutor) -> None:
    device = Device()
    batcher = make_batcher()
    futures = submit(pool, batcher, device.double, *range(10))
    batcher.start()
    assert results(futures) == [2 * number for number in range(10)]
    assert [len(batch) for batch in device.batches] == [4, 4, 2]
    batcher.stop()


def test_items_of_other_calls_go_in_other_batches_oldest_first(pool: ThreadPoolExecutor) -> None:
    device = Device()
    batcher = make_batcher()
    futures = [
        *submit(pool, batcher, device.double, 1),
        *submit(pool, batcher, device.negate, 2),
        *submit(pool, batcher, device.double, 3),
    ]
    batcher.start()
    assert results(futures) == [2, -2, 6]
    assert device.batches == [[1, 3], [2]]
    batcher.stop()


def test_an_item_that_must_be_alone_is_alone(pool: ThreadPoolExecutor) -> None:
    device = Device()
    batcher = make_batcher()
    futures = [
        *submit(pool, batcher, device.double, 1),
        *submit(pool, batcher, device.double, 2, alone=True),
        *submit(pool, batcher, device.double, 3),
        *submit(pool, batcher, device.double, 4, alone=True),
    ]
    batcher.start()
    assert results(futures) == [2, 4, 6, 8]
    assert device.batches == [[1, 3], [2], [4]]
    batcher.stop()


@settings(max_examples=25)
@given(poison=st.sets(st.integers(0, 7)))
def test_only_the_poisonous_items_fail(poison: set[int]) -> None:
    device = Device(poison=sorted(poison))
    batcher = make_batcher(max_batch=8)
    with ThreadPoolExecutor(8) as threads:
        futures = submit(threads, batcher, device.double, *range(8))
        batcher.start()
        got = results(futures)
    batcher.stop()
    expected = [f"poison {number}" if number in poison else str(2 * number) for number in range(8)]
    assert [str(result) for result in got] == expected


def test_a_call_that_loses_a_result_fails_rather_than_mix_them_up(pool: ThreadPoolExecutor) -> None:
    batcher = make_batcher()
    futures = submit(pool, batcher, lambda batch: list(batch)[:-1], 1, 2)
    batcher.start()
    assert [str(error) for error in results(futures)] == ["1 items went in, 0 results came out"] * 2
    batcher.stop()


def test_running_out_of_memory_lowers_the_batch_size_for_good(pool: ThreadPoolExecutor) -> None:
    device = Device(memory=2)
    batcher = make_batcher(max_batch=16)
    futures = submit(pool, batcher, device.double, *range(32))
    batcher.start()
    assert results(futures) == [2 * number for number in range(32)]
    after_the_first_batch = device.batches[device.batches.index([14, 15]) + 1 :]
    assert [len(batch) for batch in after_the_first_batch] == [2] * 8
    batcher.stop()


def test_one_image_too_large_for_the_device_fails_alone(pool: ThreadPoolExecutor) -> None:
    device = Device(memory=0)
    batcher = make_batcher()
    futures = submit(pool, batcher, device.double, 1, 2)
    batcher.start()
    assert [type(error) for error in results(futures)] == [MemoryError, MemoryError]
    batcher.stop()


def test_what_a_failed_batch_held_is_released_before_its_halves_are_tried(pool: ThreadPoolExecutor) -> None:
    class Activations:
        pass

    held: list[weakref.ref[Activations]] = []
    alive: list[bool] = []

    def forward(batch: Sequence[int]) -> Sequence[int]:
        alive.extend(reference() is not None for reference in held)
        activations = Activations()
        held.append(weakref.ref(activations))
        if len(batch) > 1:
            raise MemoryError
        return batch

    batcher = make_batcher()
    futures = submit(pool, batcher, forward, 1, 2)
    batcher.start()
    assert results(futures) == [1, 2]
    assert not any(alive)
    batcher.stop()


@pytest.mark.timeout(20)
def test_a_time_out_raised_by_the_call_itself_reaches_the_waiter(pool: ThreadPoolExecutor) -> None:
    def read_slowly(_batch: Sequence[int]) -> Sequence[int]:
        raise TimeoutError("the call's own")

    batcher = make_batcher()
    futures = submit(pool, batcher, read_slowly, 1)
    batcher.start()
    assert [str(error) for error in results(futures)] == ["the call's own"]
    batcher.stop()


def test_a_wedged_device_is_noticed_by_everyone_who_waits_for_it(pool: ThreadPoolExecutor) -> None:
    release = Event()

    def wedge(batch: Sequence[int]) -> Sequence[int]:
        release.wait(PATIENCE)
        return batch

    batcher = make_batcher(max_batch=1, timeout=0.02, clock=time.perf_counter)
    futures = submit(pool, batcher, wedge, 1, 2)
    batcher.start()
    assert [type(error) for error in results(futures)] == [WedgedError, WedgedError]
    release.set()
    batcher.stop()


def test_a_long_queue_is_no_wedged_device(pool: ThreadPoolExecutor) -> None:
    waited = Event()
    clock = FakeClock()

    def answer_when_others_have_waited(batch: Sequence[int]) -> Sequence[int]:
        waited.wait(PATIENCE)
        return batch

    def tick() -> float:
        # The waiter looks at the clock again and again; the device has been busy for no time at all.
        if ticks := clock():
            waited.set()
        return ticks * 0

    # Long enough for the thread to be there: whoever waits longer for one that is not is told so.
    batcher = make_batcher(max_batch=1, timeout=0.25, clock=tick)
    futures = submit(pool, batcher, answer_when_others_have_waited, 1, 2)
    batcher.start()
    clock.advance(1)
    assert results(futures) == [1, 2]
    batcher.stop()


def test_a_device_thread_that_is_not_there_is_noticed() -> None:
    batcher = make_batcher(timeout=0.01)
    with pytest.raises(WedgedError, match="has ended"):
        batcher(Device().double, 1)


def test_stopping_finishes_what_waits_and_takes_no_more(pool: ThreadPoolExecutor) -> None:
    device = Device()
    batcher = make_batcher(max_wait=1e6)
    futures = submit(pool, batcher, device.double, 1, 2, 3)
    batcher.start()
    batcher.stop()
    assert results(futures) == [2, 4, 6]
    assert device.batches == [[1, 2, 3]]
    with pytest.raises(BatcherStoppedError):
        batcher(device.double, 4)


def test_of_two_hundred_threads_each_gets_its_own() -> None:
    device = Device(poison=range(0, 200, 17), memory=12)
    batcher = make_batcher(max_batch=16, max_wait=0.001, clock=time.perf_counter)
    batcher.start()
    with ThreadPoolExecutor(200) as threads:
        got = results([threads.submit(batcher, device.double, number, alone=number % 31 == 0) for number in range(200)])
    batcher.stop()
    assert [str(result) for result in got] == [
        f"poison {number}" if number % 17 == 0 else str(2 * number) for number in range(200)
    ]
