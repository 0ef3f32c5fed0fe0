"""Hostile files, and decoder processes that are killed, hold nobody up."""

import os
import signal
from contextlib import suppress

import pytest

from infra.chaos.hostile_files import TOO_COMPLEX, TOO_MANY_PIXELS
from tests.support.assay_up import AssayUp, children, command_line
from tests.support.load import assert_one_verdict_each, put_images, wait_some_done

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.mark.slow
def test_sixty_innocents_behind_fifty_bombs_have_their_verdicts_within_a_minute(assay: AssayUp) -> None:
    kinds = {**TOO_COMPLEX, **TOO_MANY_PIXELS}
    bodies = [make() for make in kinds.values()]
    bombs = [f"bombs/{number}" for number in range(50)]
    for number, key in enumerate(bombs):
        assay.put(key, bodies[number % len(bodies)])
    assert_one_verdict_each(assay, put_images(assay, 60, "behind bombs"), 60)
    for outcome in assay.wait_ended(bombs, 60).values():
        assert (outcome.state, outcome.reason in {"too_complex", "too_many_pixels"}) == ("rejected", True)


def decoders_of(pid: int) -> list[int]:
    return [child for child in children(pid) if b"worker.decoders.child" in command_line(child)]


def test_decoder_processes_that_are_killed_cost_no_image_anything(assay: AssayUp) -> None:
    keys = put_images(assay, 40, "killed decoders")
    for least in (5, 15, 25):
        wait_some_done(assay, keys, least)
        for pid in decoders_of(assay.pid("worker")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert_one_verdict_each(assay, keys, 120)
