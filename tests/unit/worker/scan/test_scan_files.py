"""Files on disk: one line each, in order, the same every time."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.decoders import LocalDecoders
from tests.support.fakes import FakeBundle
from tests.support.provenance import make_authority
from worker.decisions.policy import Rules
from worker.provenance.findings import Provenance
from worker.scan.scan_files import scan_files

RULES = Rules(0.01, 0.05, 0.0)


def lines(
    paths: list[Path], bundle: FakeBundle | None = None, *, anchors: str = "", **limits: int
) -> list[dict[str, Any]]:
    bounds = {"max_batch": 3, "max_bytes": 100_000, **limits}
    found = scan_files(paths, bundle or FakeBundle(), RULES, decoders=LocalDecoders(anchors=anchors), **bounds)
    return [one.as_json("fake-1") for one in found]


def test_frames_of_an_animation_are_judged_and_the_gravest_is_named(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), (level,) * 3) for level in (20, 21, 250, 22)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=500, lossless=True)
    Image.new("L", (16, 16), 134).save(tmp_path / "b.png")
    (moving, still) = lines([tmp_path / "a.webp", tmp_path / "b.png"])
    assert (moving["verdict"], moving["probability"]) == ("uncertain", pytest.approx(20 / 255, abs=1e-6))
    assert (moving["frames"]["judged"], moving["frames"]["gravest"]["number"]) == ([0, 1, 2, 3], 2)
    assert (still["verdict"], still["frames"], still["truncated"]) == ("uncertain", None, False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for brightness in (250, 20, 134, 5):
        Image.new("L", (16, 16), brightness).save(tmp_path / f"{brightness:03}.png")
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    (tmp_path / "cut.png").write_bytes((tmp_path / "250.png").read_bytes()[:50])
    (tmp_path / "large.png").write_bytes(b"\x89PNG" + b"\x00" * 100_000)
    return tmp_path


def test_each_file_has_its_line_in_the_order_given(folder: Path) -> None:
    paths = [*sorted(folder.iterdir(), reverse=True), folder / "missing.png"]
    found = lines(paths)
    assert [line["path"] for line in found] == [str(path) for path in paths]
    by_name = {Path(line["path"]).name: (line["state"], line["reason"], line["verdict"]) for line in found}
    assert by_name == {
        "250.png": ("completed", None, "ai_generated"),
        "134.png": ("completed", None, "uncertain"),
        "020.png": ("completed", None, "not_ai_generated"),
        "005.png": ("completed", None, "not_ai_generated"),
        "page.jpg": ("rejected", "unsupported_type", None),
        "cut.png": ("rejected", "undecodable", None),
        "large.png": ("rejected", "too_large", None),
        "missing.png": ("rejected", "gone", None),
    }


def test_a_line_says_everything_and_is_json(folder: Path) -> None:
    [line] = lines([folder / "250.png"])
    assert json.loads(json.dumps(line)) == line
    assert line["sha256"] == hashlib.sha256((folder / "250.png").read_bytes()).hexdigest()
    assert line["probability"] == pytest.approx(250 / 255, abs=1e-6)
    assert line["detectors"].keys() == {"clip", "convnext"}
    assert line["provenance"] == Provenance().as_json()
    assert line["decided_by"] == "machine"
    assert line["bundle"] == "fake-1"
    [rejected] = lines([folder / "page.jpg"])
    assert rejected.keys() == line.keys()
    assert (rejected["probability"], rejected["detectors"], rejected["sha256"] is None) == (None, {}, False)


def test_the_same_files_give_the_same_lines_whatever_the_batch_size(folder: Path) -> None:
    paths = sorted(folder.iterdir())
    assert lines(paths, max_batch=1) == lines(paths, max_batch=2) == lines(paths, max_batch=50) == lines(paths)


def test_batches_are_bounded_and_hold_good_images_alone(folder: Path) -> None:
    bundle = FakeBundle()
    lines(sorted(folder.iterdir()), bundle, max_batch=3)
    assert bundle.batches == [[5, 20, 134], [250]]


def test_a_folder_given_as_a_file_is_rejected_not_raised(folder: Path) -> None:
    assert lines([folder])[0]["state"] == "rejected"


def test_of_no_files_there_are_no_lines() -> None:
    assert lines([]) == []


def test_a_trusted_signature_decides_and_on_a_copy_saved_again_the_pixels_do(tmp_path: Path) -> None:
    plain, signed = tmp_path / "plain.jpg", tmp_path / "signed.jpg"
    Image.new("L", (64, 64), 20).save(plain)
    authority = make_authority("Picture Maker Inc.")
    signed.write_bytes(authority.sign(plain.read_bytes()))
    Image.open(signed).save(tmp_path / "again.jpg")
    first, again = lines([signed, tmp_path / "again.jpg"], anchors=authority.anchor)
    assert (first["verdict"], first["decided_by"]) == ("ai_generated", "provenance")
    assert first["provenance"]["c2pa"]["signer"] == "Picture Maker Inc., Assay Tests"
    assert (again["verdict"], again["decided_by"]) == ("not_ai_generated", "machine")
    assert again["provenance"]["c2pa"] is None


def test_scanning_files_imports_nothing_that_speaks_to_a_database() -> None:
    code = "import sys; import worker.scan.scan_files; print('sqlalchemy' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "False"
