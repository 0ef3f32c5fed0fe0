import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from training.data.collection import DataError
from training.evaluation.evaluate import as_text, evaluate
from training.evaluation.pictures import Pictures, open_pictures
from training.evaluation.report import render, wrong_images
from training.export.run_bundle import SHIPPED
from worker.bundles.loaded import load_bundle


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """Evaluate `cifake` on noise of two sizes, some of it said to be drawn by a program."""
    rng, rows = np.random.default_rng(0), []
    for index in range(24):
        side = 32 if index % 2 else 200
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(buffer, format="PNG")
        label, drawn = int(index < 8), index >= 20
        rows.append(
            {
                "image": buffer.getvalue(),
                "label": label,
                "source": ("ai", "calm", "odd")[index % 3] if not drawn else "charts",
                "generator": "program" if drawn else "sd" if label else "real",
            }
        )
    file = tmp_path_factory.mktemp("report") / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    pictures = open_pictures([file])
    report = evaluate(load_bundle(SHIPPED / "cifake"), pictures, robustness_images=0)
    # Whatever the bundle is wrong about, one picture of either size.
    report["most_wrong"] = [_wrong(pictures, index) for index in (0, 1)]
    return report, render(report, wrong_images(report, pictures))


def _wrong(pictures: Pictures, index: int) -> dict[str, Any]:
    pictured = {"name": "one", "label": 1, "probability": 0.1, "source": "ai", "generator": "sd"}
    return {**pictured, "sha256": str(pictures.hashes[index])}


def test_photographs_accused_are_told_without_drawings(evaluated: tuple[dict[str, Any], str]) -> None:
    report, page = evaluated
    assert {kind: found["images"] for kind, found in report["negatives"].items()} == {"photographs": 12, "drawings": 4}
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    for kind, found in report["negatives"].items():
        assert f"{kind} accused" in words
        assert f"{kind.capitalize()}: {found['accused']} of {found['images']} accused" in words
        assert re.search(rf"^accused .* of {found['images']} {kind}; worst source", as_text(report), re.MULTILINE)
    assert f"worst source {report['negatives']['photographs']['worst_source']['name']}" in words


def test_what_is_cut_at_one_half_is_not_called_as_verdicts_are(evaluated: tuple[dict[str, Any], str]) -> None:
    page = evaluated[1]
    matrix = page[page.index("Confusion, cut at one half") : page.index("Verdicts, which are more careful")]
    assert not re.search(r"accused|found|cleared|verdict", matrix)
    assert "found at 1" not in page


def test_what_was_left_out_and_what_cannot_be_given_is_told_in_text(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "real"
    folder.mkdir(parents=True)
    (folder / "cut.png").write_bytes(b"text")
    (folder / "odd.jp2").write_bytes(b"text")
    with pytest.raises(DataError, match=r"none of 1 pictures can be decoded, such as real/cut\.png"):
        evaluate(load_bundle(SHIPPED / "cifake"), open_pictures([folder.parent]), robustness_images=0)
    Image.new("RGB", (32, 32)).save(folder / "a.png")
    report = evaluate(load_bundle(SHIPPED / "cifake"), open_pictures([folder.parent]), robustness_images=0)
    words = as_text(report)
    assert "left out   1 that are no sound pictures, such as real/cut.png\n" in words
    assert "left out   1 files (not named as a picture), such as real/odd.jp2\n" in words
    assert "auroc      none: the images are all of one class" in words


def test_the_pixels_of_tiny_pictures_are_shown_as_they_are(evaluated: tuple[dict[str, Any], str]) -> None:
    shown = re.findall(r'<img( class="tiny")? src="data:image/webp;base64,([^"]+)"', evaluated[1])
    for tiny, data in shown:
        side = max(Image.open(io.BytesIO(base64.b64decode(data))).size)
        assert side == (32 if tiny else 160)
    assert {bool(tiny) for tiny, _ in shown} == {True, False}
