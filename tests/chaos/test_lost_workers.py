"""A worker that dies is noticed by its silence, not by the end of its leases."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.support.assay_up import AssayUp
from tests.support.load import assert_one_verdict_each, put_images, wait_some_done

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def test_a_killed_worker_is_noticed_long_before_its_leases_end(start_assay: Callable[..., AssayUp]) -> None:
    assay = start_assay(ASSAY_LEASE_SECONDS="900", ASSAY_DISPATCH_TIMEOUT_SECONDS="900")
    keys = put_images(assay, 60, "noticed")
    wait_some_done(assay, keys, 6)
    os.kill(assay.pid("worker"), signal.SIGKILL)
    assert_one_verdict_each(assay, keys, 240)
