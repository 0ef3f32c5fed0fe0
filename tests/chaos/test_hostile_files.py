"""Hostile files, and decoder processes that are killed, hold nobody up."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from infra.chaos.hostile_files import TOO_COMPLEX, TOO_MANY_PIXELS
from infra.demo_images import as_jpeg
from tests.chaos.test_nothing_is_lost import wait_some_done
from tests.support.assay_up import AssayUp

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def put_innocents(assay: AssayUp, count: int) -> list[str]:
    keys = [f"innocent/{number}.jpg" for number in range(count)]
    for number, key in enumerate(keys):
        assay.put(key, as_jpeg(Image.effect_noise((64, 64), 20 + number).convert("RGB")))
    return keys


@pytest.mark.slow
def test_sixty_innocents_behind_fifty_bombs_have_their_verdicts_within_a_minute(
    start_assay: Callable[..., AssayUp],
) -> None:
    assay = start_assay()
    kinds = {**TOO_COMPLEX, **TOO_MANY_PIXELS}
    bodies = [make() for make in kinds.values()]
    bombs = [f"bombs/{number}" for number in range(50)]
    for number, key in enumerate(bombs):
        assay.put(key, bodies[number % len(bodies)])
    innocents = put_innocents(assay, 60)
    ended = assay.wait_ended(innocents, 60)
    assert {outcome.state for outcome in ended.values()} == {"completed"}
    for outcome in assay.wait_ended(bombs, 60).values():
        assert (outcome.state, outcome.reason in {"too_complex", "too_many_pixels"}) == ("rejected", True)


def decoders_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in children if b"worker.decoders.child" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_decoder_processes_that_are_killed_cost_no_image_anything(start_assay: Callable[..., AssayUp]) -> None:
    assay = start_assay()
    keys = put_innocents(assay, 40)

    for least in (5, 15, 25):
        wait_some_done(assay, keys, least)
        for pid in decoders_of(assay.pid("worker")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    ended = assay.wait_ended(keys, 120)
    assert {outcome.state for outcome in ended.values()} == {"completed"}
