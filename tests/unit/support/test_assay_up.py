import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import assay_up
from tests.support.assay_up import AssayUp, children


def test_a_start_that_is_not_waited_for_to_its_end_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(_condition: Callable[[], bool], _seconds: float, _what: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(assay_up, "wait_until", give_up)
    before = children(os.getpid())
    with pytest.raises(KeyboardInterrupt):
        AssayUp(tmp_path).__enter__()
    assert children(os.getpid()) == before


def test_the_children_of_a_process_are_found() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:  # noqa: S607 - any sleep will do
        assert child.pid in children(os.getpid())
        child.kill()
