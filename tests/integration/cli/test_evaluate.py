"""`assay evaluate`: labelled images → every measure as JSON, a page that needs nothing else, and lines on the card."""

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from infra.cli.evaluate import evaluate
from worker.bundles.folder import update_card
from worker.bundles.loaded import load_bundle
from worker.errors import AssayError

pytestmark = pytest.mark.integration

_EACH = 12
_MEASURES = {
    *("auroc", "pauc_fpr_1pct", "ap", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "confusion"),
    *("tpr_at_fpr_1pct", "tpr_at_fpr_0.1pct", "brier", "nll", "ece_15", "coverage"),
    *("ece_15_at_own_prior", "accuracy_outside_uncertain"),
}
_CHANGES = ["unchanged", "jpeg_90", "jpeg_75", "jpeg_50", "webp_75", "resize_0.5", "resize_0.25", "blur"]
_ODD = "<b>&$odd"

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources with both classes; one named like markup, one with a file that is no picture."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(3)
    for source in ("calm", _ODD):
        for name in ("real", "fake"):
            (folder / source / name).mkdir(parents=True)
            for number in range(_EACH):
                pixels = rng.integers(0, 120 if name == "real" else 256, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / source / name / f"{number}.png")
    (folder / "calm" / "real" / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture
def bundle(repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(repository / "worker" / "bundles" / "shipped" / "cifake", tmp_path / "bundle"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    app = typer.Typer()
    app.command()(evaluate)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


class _Page(HTMLParser):
    """What a browser would fetch, show as text, and draw."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [str(value) for name, value in attributes if name in {"src", "href", "xlink:href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_measure_comes_as_json_and_as_a_page_that_needs_nothing_else(
    run: Run, bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    page = tmp_path / "out" / "report.html"
    result = run("--data", pictures, "--bundle", bundle, "--robustness", 8, "--json", "--report", page)
    assert result.exit_code == 0, repr(result.exception)
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["bundle"] == load_bundle(bundle).version
    assert report["overall"].keys() >= _MEASURES
    assert report["intervals_95"].keys() >= {"auroc", "accuracy", "ece_15", "tpr_at_fpr_1pct"}
    assert report["intervals_are"]["drawn_together"].startswith("sources")
    assert (report["data"]["images"], report["data"]["left_out"]["undecodable"]) == (4 * _EACH, 1)
    assert set(report["by_source"]) == {"calm", _ODD}
    assert report["data"]["of_training_sources"] == {"images": 0, "sources": []}
    groups = [*report["by_source"].values(), *report["by_generator"].values()]
    assert report["worst_group"]["accuracy"] == min(found["accuracy"] for found in groups)
    assert list(report["robustness"]["changes"]) == _CHANGES
    assert report["robustness"]["images"] == 8
    assert "subset" in report["robustness"]["chosen"]
    assert set(report["by_detector"]) == {"clip", "convnext", "lite2"}

    found = _Page(page.read_text("utf-8"))
    assert all(place.startswith(("data:", "#")) for place in found.fetched)
    assert not re.search(r"url\(['\"]?(?!#)", page.read_text("utf-8"))
    assert "script" not in found.tags
    assert found.tags.count("svg") == 7
    assert found.tags.count("img") == len(report["most_wrong"]) > 0
    assert _ODD in found.text
    assert f"{report['overall']['auroc']:.4f}" in found.text


def test_a_card_tells_what_it_was_evaluated_on_and_the_version_stays(run: Run, bundle: Path, pictures: Path) -> None:
    before, known = load_bundle(bundle).version, len(load_bundle(bundle).card.get("evaluations", ()))
    for robustness in (0, 8):
        result = run(
            *("--data", pictures / "calm", "--bundle", bundle, "--robustness", robustness, "--write-card", "--json")
        )
        assert result.exit_code == 0, repr(result.exception)
    card = load_bundle(bundle).card
    entry = card["evaluations"][-1]
    assert len(card["evaluations"]) == known + 1
    assert entry["command"] == "assay evaluate --bundle cifake --data calm --robustness 8"
    assert entry["overall"] == json.loads(result.stdout)["overall"]
    assert entry["certificate"]["scope"] == card["scope"]
    assert load_bundle(bundle).version == before == card["bundle"]


def test_one_class_alone_is_measured_as_far_as_it_goes(run: Run, bundle: Path, pictures: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    arguments = ("--data", pictures, "--bundle", bundle, "--robustness", 0, "--report", page, "--json")
    shutil.copytree(pictures / "calm" / "real", tmp_path / "one" / "real")
    result = run(*arguments[:1], tmp_path / "one", *arguments[2:])
    assert result.exit_code == 0, repr(result.exception)
    overall = json.loads(result.stdout)["overall"]
    assert (overall["auroc"], overall["recall"], overall["images"]) == (None, None, _EACH)
    assert _Page(page.read_text("utf-8")).tags.count("svg") == 4


def test_images_of_sources_that_a_bundle_was_trained_on_are_told_of(
    run: Run, bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    update_card(bundle, {"training_data": {"sources": {"calm": 3, "elsewhere": 3}}})
    page = tmp_path / "report.html"
    printed = run("--data", pictures, "--bundle", bundle, "--robustness", 0, "--report", page).stdout
    warning = f"{2 * _EACH} of {4 * _EACH} images are of sources that the bundle was trained on (calm)"
    assert warning in printed
    assert warning in _Page(page.read_text("utf-8")).text


def test_what_cannot_be_evaluated_is_told_in_a_line(
    run: Run, bundle: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        (("--data", tmp_path / "empty", "--bundle", bundle), "empty"),
        (("--data", pictures, "--bundle", bundle, "--part", "test"), "not split"),
        (("--data", pictures, "--bundle", bundle, "--without", pictures), "no pictures are left"),
        (("--data", pictures, "--bundle", pictures), "holds no bundle.json"),
        (("--data", pictures, "--bundle", "nope"), "'nope' is no folder and no bundle of this release (cifake, wild)"),
    ):
        result = run(*arguments)
        assert isinstance(result.exception, AssayError)
        assert words in str(result.exception)
