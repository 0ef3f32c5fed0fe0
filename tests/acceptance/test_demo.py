"""`assay demo` as a process, as a person runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.demo_images import photographs
from tests.support.assay_up import AssayUp, process_environment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

VERDICTS = {"ai_generated", "uncertain", "not_ai_generated"}
NOBODY = 65534
# Root becomes somebody who owns nothing, and who may read the interpreter wherever it lies.
AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


def demo(data_dir: Path, *options: str, before: tuple[str, ...] = (), **variables: str) -> tuple[str, str]:
    command = [*before, sys.executable, "-m", "infra.cli", "demo", *options]
    environment = process_environment(data_dir, **variables)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def rows_of(printed: str) -> dict[str, dict[str, Any]]:
    return {row["image"]: row for row in map(json.loads, printed.splitlines())}


@pytest.mark.slow
def test_the_demo_starts_all_it_needs_as_an_ordinary_user_and_stops_it_again(tmp_path: Path) -> None:
    root = os.geteuid() == 0
    if root:
        os.chown(tmp_path, NOBODY, NOBODY)
    printed, progress = demo(tmp_path / "data", "--json", before=AS_NOBODY if root else (), HOME=str(tmp_path))
    rows = rows_of(printed)
    assert len(rows) == len(printed.splitlines()) == 18
    bad = {name: (row["state"], row["reason"]) for name, row in rows.items() if name.startswith("bad/")}
    assert bad == {
        "bad/truncated.jpg": ("rejected", "undecodable"),
        "bad/not an image+.jpg": ("rejected", "unsupported_type"),
    }
    assert {row["verdict"] for name, row in rows.items() if name not in bad} <= VERDICTS
    assert "18 images: " in progress
    assert (tmp_path / "data").stat().st_uid == (NOBODY if root else os.geteuid())


def test_the_demo_on_a_running_stack_prints_a_table(assay: AssayUp) -> None:
    printed, progress = demo(assay.data_dir)
    assert "using the stack that is up" in progress
    for expected in ("china.jpg", "truncated.jpg", "rejected (undecodable)", "rejected (unsupported_type)"):
        assert expected in printed


def test_the_demo_takes_a_folder_of_ones_own(assay: AssayUp, tmp_path: Path) -> None:
    (tmp_path / "mine [old]").mkdir()
    (tmp_path / "mine [old]" / "cat.png").write_bytes(photographs()[3].data)
    (tmp_path / "note.txt").write_text("no image")
    rows = rows_of(demo(assay.data_dir, "--images", str(tmp_path), "--json")[0])
    assert rows.keys() == {"mine [old]/cat.png", "note.txt"}
    assert rows["mine [old]/cat.png"]["verdict"] in VERDICTS
    assert (rows["note.txt"]["state"], rows["note.txt"]["reason"]) == ("rejected", "unsupported_type")
    assert "mine [old]/cat.png" in demo(assay.data_dir, "--images", str(tmp_path))[0]
