"""Hostile files as attackers sent them end with their reason, within five seconds of a processor and 500 MB."""

from collections.abc import Iterator

import pytest

from infra.chaos.hostile_files import AS_SENT
from worker.decoders.pool import DecoderPool
from worker.decoders.process import Limits
from worker.errors import PermanentError, Reason
from worker.images.views import ViewPlan

# A process that passes them is killed.
LIMITS = Limits(max_pixels=50_000_000, cpu_seconds=5, wall_seconds=60, memory_bytes=500_000_000)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    decoders = DecoderPool(1, LIMITS, "")
    decoders.holds()  # so it has started
    yield decoders
    decoders.close()


def read_and_look(pool: DecoderPool, data: bytes) -> None:
    pool.read(data)
    pool.look(data, {"clip": ViewPlan(64, 0, 3)})


@pytest.mark.parametrize("kind", AS_SENT)
def test_a_bomb_is_refused_for_what_it_holds_and_its_process_lives_on(pool: DecoderPool, kind: str) -> None:
    data, before = AS_SENT[kind](), pool.pids()
    with pytest.raises(PermanentError) as refused:
        read_and_look(pool, data)
    assert refused.value.reason in {Reason.TOO_COMPLEX, Reason.TOO_MANY_PIXELS}
    assert pool.pids() == before
