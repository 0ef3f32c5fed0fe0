"""A worker whose device thread or decoders all stand still is not live, however many threads it has that wait."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.support.assay_up import wait_until
from tests.support.fakes import FakeClock
from worker.decoders.pool import DecoderPool
from worker.decoders.process import Limits
from worker.errors import WedgedError
from worker.processes.liveness import liveness
from worker.processes.metrics_server import serve_observed
from worker.scan.micro_batcher import MicroBatcher


def status(*parts: MicroBatcher | DecoderPool) -> int:
    port = serve_observed("127.0.0.1", 0, liveness(*parts))
    return httpx2.get(f"http://127.0.0.1:{port}/health/live", timeout=10).status_code


def make_batcher(clock: FakeClock) -> MicroBatcher:
    return MicroBatcher(
        max_batch=2,
        max_wait_seconds=0,
        timeout_seconds=0.05,
        monotonic=clock,
        is_out_of_memory=lambda _error: False,
    )


def test_a_worker_whose_device_thread_stands_still_is_not_live() -> None:
    clock, begun, may_end = FakeClock(), threading.Event(), threading.Event()
    batcher = make_batcher(clock)

    def hang(batch: Sequence[int]) -> Sequence[int]:
        begun.set()
        assert may_end.wait(60)
        return batch

    batcher.start()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(batcher, hang, 1)
        assert begun.wait(60)
        assert status(batcher) == 200
        clock.advance(0.05)
        assert status(batcher) == 503
        with pytest.raises(WedgedError):
            waiting.result(60)
        may_end.set()
    wait_until(batcher.alive, 60, "the device thread to come back")
    assert status(batcher) == 200
    batcher.stop()


def test_a_worker_is_live_until_all_its_decoders_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    batcher, now = make_batcher(FakeClock()), [1000.0]
    batcher.start()
    decoders = DecoderPool(2, Limits(max_pixels=1, cpu_seconds=1, wall_seconds=1, memory_bytes=1), "")
    monkeypatch.setattr("worker.decoders.process.time.monotonic", lambda: now[0])
    first, second = decoders._children
    first.busy_since = now[0]
    now[0] += 100_000
    assert status(batcher, decoders) == 200
    second.busy_since = 1000.0
    assert status(batcher, decoders) == 503
    first.busy_since = None
    assert status(batcher, decoders) == 200
    batcher.stop()
