"""What holds for every unit test."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> Iterator[None]:
    """Keep torch, where a chosen test imports it, to one thread: networks this small only lose by more."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)
