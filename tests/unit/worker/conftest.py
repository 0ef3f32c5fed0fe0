from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.worker.scan.scan_world import World


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """Make a worker of fakes; what is logged is kept from being drawn for a terminal, which takes long."""
    worlds = []

    def make(**options: Any) -> World:
        worlds.append(World(**options))
        worlds[-1].real_batcher.start()
        return worlds[-1]

    with capture_logs():
        yield make
    for world in worlds:
        world.real_batcher.stop()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
