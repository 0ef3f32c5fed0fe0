"""`assay scan`, as a process and by its function: shipped weights, real files, no service."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from infra.cli.environment import child_environment
from infra.cli.main import app
from infra.demo_images import as_jpeg, photographs
from tests.support.provenance import make_authority
from worker.detectors.names import DetectorName
from worker.errors import AssayError

pytestmark = pytest.mark.integration


def scan(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cli", "scan", str(folder), *options]
    whole = child_environment()
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=whole)


def scan_here(folder: Path, *options: str, **environment: str) -> Result:
    """Scan in this process, which has imported torch already."""
    return CliRunner().invoke(app, ["scan", str(folder), *options], env=environment)


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
    first, second = scan(folder, "--json"), scan_here(folder, "--json")
    assert (first.returncode, first.stdout) == (0, second.stdout)
    rows = {Path(row["path"]).name: row for row in map(json.loads, first.stdout.splitlines())}
    assert sorted(rows) == sorted(path.name for path in folder.iterdir())
    reasons = {name: row["reason"] for name, row in rows.items() if row["state"] == "rejected"}
    assert reasons == {"tiny.png": "undecodable", "page.jpg": "unsupported_type", "cut.jpg": "undecodable"}
    china = rows["china.jpg"]
    assert set(china) == {
        *("path", "sha256", "state", "reason", "detail", "verdict"),
        *("probability", "decided_by", "detectors", "provenance", "bundle", "frames", "truncated"),
    }
    assert set(china["detectors"]) == set(DetectorName)
    assert china["bundle"].startswith("wild-")


def test_the_other_shipped_bundle_and_people_are_served_too(folder: Path) -> None:
    done = scan_here(folder, "--bundle", "cifake")
    assert done.exit_code == 0
    assert "china.jpg" in done.stdout


def test_an_unknown_bundle_is_one_line(folder: Path) -> None:
    done = scan(folder, "--bundle", "nonsense")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("assay: no bundle named 'nonsense' is shipped")


def test_a_signed_ai_image_is_called_so_with_its_signer_and_a_copy_saved_again_is_judged_by_its_pixels(
    tmp_path: Path,
) -> None:
    authority = make_authority("Picture Maker Inc.")
    pictures, anchors = tmp_path / "pictures", tmp_path / "anchors.pem"
    pictures.mkdir()
    anchors.write_text(authority.anchor)
    (pictures / "signed.jpg").write_bytes(authority.sign(photographs()[0].data))
    Image.open(pictures / "signed.jpg").save(pictures / "saved_again.jpg", quality=85)
    trusting = {"ASSAY_C2PA_TRUST_ANCHORS": str(anchors)}
    done = scan_here(pictures, "--json", **trusting)
    again, signed = map(json.loads, done.stdout.splitlines())
    assert (signed["verdict"], signed["decided_by"]) == ("ai_generated", "provenance")
    assert signed["provenance"]["c2pa"]["signer"] == "Picture Maker Inc., Assay Tests"
    assert (again["decided_by"], again["provenance"]["c2pa"]) == ("machine", None)
    assert again["verdict"] != "ai_generated"
    printed = scan_here(pictures, **trusting).stdout
    assert "ai generated, signature trusted by Picture Maker Inc." in " ".join(printed.split())


def test_trust_anchors_that_are_not_there_are_named(folder: Path, tmp_path: Path) -> None:
    done = scan_here(folder, ASSAY_C2PA_TRUST_ANCHORS=str(tmp_path / "missing.pem"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert isinstance(done.exception, AssayError)
    assert "ASSAY_C2PA_TRUST_ANCHORS" in str(done.exception)
