"""`assay up` ends as it is told to, and leaves nothing behind."""

import signal
from pathlib import Path

import pytest

from infra.embedded.addresses import read_running_stack
from infra.embedded.data_lock import is_alive
from tests.support.assay_up import AssayUp

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0_and_no_process_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with AssayUp(tmp_path) as assay:
        pids = assay.pids()
        assert len(pids) > 9  # itself, its guardian, three parts and five processes of Assay's own
        assert assay.end(number) == 0
        assert {pid for pid in pids if is_alive(pid)} == set()
        assert read_running_stack(tmp_path) is None
