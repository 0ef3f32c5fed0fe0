"""Live images go through the device before history, which comes in short batches."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.support.clocks import FakeClock
from tests.unit.worker.scan.test_micro_batcher import Device, make_batcher, results, submit


def test_live_items_go_before_history_that_waits_and_history_goes_in_short_batches() -> None:
    device, clock = Device(), FakeClock()

    def slow(batch: Sequence[int]) -> list[int]:
        clock.advance(len(batch) / 16)  # so three of history fill a portion
        return device.double(batch)

    batcher = make_batcher(max_batch=8, clock=clock)
    with ThreadPoolExecutor(8) as pool:
        old = submit(pool, batcher, slow, 1, 2, 3, 4, 5, bulk=True)
        new = submit(pool, batcher, slow, 11, 12, 13)
        batcher.start()
        assert results([*old, *new]) == [2, 4, 6, 8, 10, 22, 24, 26]
    assert device.batches == [[11, 12, 13], [1, 2, 3], [4, 5]]
    batcher.stop()
