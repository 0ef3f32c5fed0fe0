from pathlib import Path

import torch

from worker.freed_memory import give_back_freed_memory


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096


def test_what_nothing_holds_goes_back_to_the_system() -> None:
    # Small enough to come from the heap, whose end the last one holds.
    held = [torch.zeros(16_000) for _ in range(3000)]
    last = held.pop()
    full = resident_bytes()
    del held
    give_back_freed_memory()
    assert resident_bytes() < full - 100_000_000
    assert last.numel() == 16_000
