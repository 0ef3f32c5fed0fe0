"""`assay scan` as a process: shipped weights, real files, no service."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from infra.demo_images import as_jpeg, photographs

pytestmark = pytest.mark.integration


def scan(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cli", "scan", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("pictures")
    for photograph in photographs()[:3]:
        (made / Path(photograph.name).name).write_bytes(photograph.data)
    (made / "tiny.png").write_bytes(b"")
    (made / "page.jpg").write_bytes(b"<html></html>")
    (made / "cut.jpg").write_bytes(as_jpeg(Image.new("RGB", (300, 300), "teal"))[:500])
    return made


def test_every_file_has_one_line_and_twice_the_same(folder: Path) -> None:
    first, second = scan(folder, "--json"), scan(folder, "--json")
    assert (first.returncode, first.stdout) == (0, second.stdout)
    rows = {Path(row["path"]).name: row for row in map(json.loads, first.stdout.splitlines())}
    assert sorted(rows) == sorted(path.name for path in folder.iterdir())
    reasons = {name: row["reason"] for name, row in rows.items() if row["state"] == "rejected"}
    assert reasons == {"tiny.png": "undecodable", "page.jpg": "unsupported_type", "cut.jpg": "undecodable"}
    china = rows["china.jpg"]
    assert set(china) == {
        *("path", "sha256", "state", "reason", "detail", "verdict"),
        *("probability", "detectors", "provenance", "bundle"),
    }
    assert set(china["detectors"]) == {"clip", "convnext"}
    assert china["bundle"].startswith("wild-")


def test_the_other_shipped_bundle_and_people_are_served_too(folder: Path) -> None:
    done = scan(folder, "--bundle", "cifake")
    assert done.returncode == 0
    assert "china.jpg" in done.stdout


def test_an_unknown_bundle_is_one_line(folder: Path) -> None:
    done = scan(folder, "--bundle", "nonsense")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("assay: no bundle named 'nonsense' is shipped")
