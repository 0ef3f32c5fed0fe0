"""Heads on a frozen encoder: every source is judged without itself, and what ships has seen them all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from training.calibration.held_out_again import tell_again, write_again
from training.cross_fit import cross_fit
from training.data.authors import by_author
from training.data.collection import DataError
from training.evaluation.pictures import open_pictures
from training.evaluation.whole_images import judge_whole_images
from training.export.recalibrate import recalibrate
from training.folds import as_text, measure_folds
from training.recipe import Recipe
from training.recipe_file import load_recipe
from training.retraining.refit_data import replayed
from training.train import Order, train
from worker.bundles.card import read_card
from worker.bundles.card_charts import charts
from worker.bundles.copies import REPLAY
from worker.bundles.encoders.folder import EncoderFolder, tensors_sha256
from worker.bundles.folder import read_bundle
from worker.bundles.headline import headline
from worker.bundles.loaded import load_bundle, shipped_bundle
from worker.images.views import ViewPlan

pytestmark = pytest.mark.integration

_RECIPE = """
name = "tiny"
seed = 5
augmentation = "worn"
others_from = "wild"
[detectors.lite]
views = {{ size = 32, wholes = 0, crops = 2 }}
[detectors.lite.architecture]
kind = "encoder"
model = "test_efficientnet"
encoder = "{encoder}"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
enlarge = 2
taps = ["bn1:mean", "bn1:std", "blocks.1:std"]
features = 6
[detectors.lite.fit]
head = "logistic"
draws = 2
weight_decay = 0.05
batch_size = 16
learning_rate = 0.0
epochs = 1
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    torch.manual_seed(1)
    encoder = timm.create_model("test_efficientnet", pretrained=False, num_classes=0).state_dict()
    monkeypatch.setattr("worker.bundles.encoders.folder.default_root", lambda: tmp_path / "encoders")
    EncoderFolder(tmp_path / "encoders").put("tiny", encoder)
    file = tmp_path / "tiny.toml"
    file.write_text(_RECIPE.format(encoder=tensors_sha256(encoder)))
    return load_recipe(str(file))


def test_sources_of_one_author_are_judged_together() -> None:
    groups = by_author(np.array(["minimaxir_sdxl", "minimaxir_dalle2", "ziad"]))
    assert groups[0] == groups[1] != groups[2]


def test_a_run_ends_in_a_bundle_whose_figures_are_the_folds(
    plant: Callable[..., Path], recipe: Recipe, tmp_path: Path
) -> None:
    data = plant(160, sources=4)
    made = train(Order(recipe, data, tmp_path / "run"))
    folder = tmp_path / "run" / "bundle"
    parts, bundle = read_bundle(folder), load_bundle(folder)
    assert made["bundle"] == bundle.version
    assert set(parts.detectors) == {"clip", "convnext", "srm", "lite"}
    assert {name for name, weight in parts.fusion.weights.items() if weight} == {"lite"}
    assert parts.calibrations["clip"] == read_bundle(shipped_bundle("wild")).calibrations["clip"]

    report = measure_folds(recipe, data, tmp_path / "run")
    card = read_card(parts.card)
    assert card.measured_folds is not None
    assert report.overall == card.measured_folds.overall == card.held_out
    assert report.overall.images == 160
    assert (report.overall.auroc or 0.0) > 0.9  # noise against stripes
    assert set(report.changes.by_change) >= {"unchanged", "jpeg_75", "resize_0.5"}
    assert "all: 160 images" in as_text(report)
    leading = headline(card)
    assert leading is not None
    assert {chart.name for chart in charts(leading)} == {"found", "probabilities", "sources", "changes"}
    # Figures made again are the same, and so are the words about them.
    write_again(folder, tell_again(folder))
    assert read_card(read_bundle(folder).card) == card.model_copy(
        update={"card_sha256": read_bundle(folder).card["card_sha256"]}
    )

    seen = replayed(folder / REPLAY, (bundle.version,))
    assert seen is not None
    assert seen.features.shape == (160, 6)
    found = cross_fit(recipe, data, tmp_path / "run")
    column = list(parts.detectors).index("lite")
    assert np.allclose(np.sort(seen.others[:, column]), np.sort(found.measured.logits[:, 0]))


def test_no_image_is_judged_by_a_head_that_saw_its_source(
    plant: Callable[..., Path], recipe: Recipe, tmp_path: Path
) -> None:
    found = cross_fit(recipe, plant(120, sources=4), tmp_path / "run")
    for source in np.unique(found.rows.sources):
        assert len(np.unique(found.folds[found.rows.sources == source])) == 1
    head = found.heads[0]["lite"]
    assert len(head.weight) == found.tensors["lite"]["projection.weight"].shape[1]


def test_heads_are_calibrated_anew_with_other_gains_and_judge_whole_images(
    plant: Callable[..., Path], recipe: Recipe, tmp_path: Path
) -> None:
    train(Order(recipe, plant(160, sources=4), tmp_path / "run"))
    folder = tmp_path / "run" / "bundle"
    before = read_bundle(folder)
    assert recalibrate(recipe, folder) == before.version()
    assert read_bundle(folder).card["held_out"] == before.card["held_out"]

    (part,) = recipe.detectors
    gained = replace(recipe, detectors=(replace(part, architecture={**part.architecture, "gain": 0.5}),))
    version = recalibrate(gained, folder)
    after = read_bundle(folder)
    assert version == after.version() != before.version()
    assert after.detectors["lite"].architecture["gain"] == 0.5
    assert after.calibrations == before.calibrations
    assert replayed(folder / REPLAY, (version,)) is not None
    with pytest.raises(DataError, match="is not recipe tiny's"):
        recalibrate(replace(recipe, detectors=(replace(part, views=ViewPlan(32, 0, 1)),)), folder)

    sources = np.unique(replayed(folder / REPLAY, (version,)).sources)  # type: ignore[union-attr]
    for place, source in enumerate(sources.tolist()):
        for kind in ("real", "ai"):
            file = tmp_path / "whole" / source / kind / "one.png"
            file.parent.mkdir(parents=True)
            Image.effect_noise((40 + 60 * place, 120), 60).convert("RGB").save(file)
    report = judge_whole_images(gained, folder, open_pictures([tmp_path / "whole"]))
    assert report.images == 2 * len(sources)
    counts = report.by_change["as they are"].by_views
    assert counts["all"].photographs == sum(one.photographs for name, one in counts.items() if name != "all")
    assert set(report.by_change) == {"as they are", "JPEG 80"}
