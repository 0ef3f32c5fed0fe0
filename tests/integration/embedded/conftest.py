"""Shared by the tests of the embedded stack."""

import threading
import time
from collections.abc import Callable

import pytest


def _eventually(check: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds; fail when it does not within the time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        pause.wait(0.02)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    return _eventually
