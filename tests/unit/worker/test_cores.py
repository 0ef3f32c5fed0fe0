"""How many cores a process may use: those of its machine, or of its container where that is given fewer."""

import os
from pathlib import Path

import pytest

from worker.cores import cores, multiplies_bf16

HERE = len(os.sched_getaffinity(0))


def test_a_process_in_no_container_has_the_cores_that_it_may_run_on(tmp_path: Path) -> None:
    assert cores(tmp_path) == HERE


@pytest.mark.parametrize(
    ("quota", "found"), [("max 100000", HERE), ("100000 100000", 1), ("50000 100000", 1), ("6400000 100000", HERE)]
)
def test_a_container_has_its_quota_rounded_up_and_no_more_than_its_machine(
    tmp_path: Path, quota: str, found: int
) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cores(tmp_path) == found


@pytest.mark.parametrize(("quota", "found"), [("-1", HERE), ("100000", 1)])
def test_older_machines_tell_the_quota_in_two_files(tmp_path: Path, quota: str, found: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path) == found


def test_what_cannot_be_read_limits_nothing(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("nonsense\n")
    assert cores(tmp_path) == HERE


def test_bf16_is_what_the_processor_says_of_itself(tmp_path: Path) -> None:
    (tmp_path / "amx").write_text("flags\t: fpu amx_bf16 amx_tile\n")
    (tmp_path / "avx").write_text("flags\t: fpu avx512_bf16\n")
    (tmp_path / "without").write_text("flags\t: fpu avx512f\nmodel name : amx_bf16ish\n")
    assert multiplies_bf16(tmp_path / "amx")
    assert multiplies_bf16(tmp_path / "avx")
    assert not multiplies_bf16(tmp_path / "without")
    assert not multiplies_bf16(tmp_path / "nowhere")
