"""The production CLIP recipe's way, on a tiny frozen tower."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image

from training.data.parts import Parts
from training.evaluation.negatives import PROGRAM
from training.fitting.logistic_head import cached_features, fit_head
from training.fitting.run import Run
from training.recipe import Recipe, RecipeError
from training.recipe_file import load_recipe
from training.train import Order, look_at_data, train
from worker.bundles.loaded import load_bundle
from worker.detectors.clip import ClipNetwork
from worker.detectors.pixels import normalise
from worker.detectors.srm import SrmNetwork

pytestmark = pytest.mark.integration

FROZEN = ["detectors.clip.architecture.frozen=true", "detectors.clip.fit.head=logistic"]


@pytest.fixture
def recipe(bundle_recipe: Path) -> Recipe:
    text = bundle_recipe.read_text()
    bundle_recipe.write_text(text[: text.index("[detectors.convnext]")])
    return load_recipe(str(bundle_recipe), FROZEN)


@pytest.fixture
def parts(recipe: Recipe, plant: Callable[..., Path], tmp_path: Path) -> Parts:
    return look_at_data(recipe, plant(), tmp_path / "run")


def fresh(recipe: Recipe, folder: Path) -> tuple[Run, ClipNetwork]:
    torch.manual_seed(recipe.seed)
    run = Run(recipe.detectors[0], folder, "cpu")
    assert isinstance(run.detector.network, ClipNetwork)
    return run, run.detector.network


def test_a_bundle_of_one_frozen_tower_tells_the_classes_apart(
    recipe: Recipe, plant: Callable[..., Path], tmp_path: Path
) -> None:
    order = Order(recipe, plant(), tmp_path / "run")
    version = train(order)["bundle"]
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert version == bundle.version
    assert bundle.detector_names == ("clip",)
    assert bundle.card["held_out"]["auroc"] > 0.95
    assert version == train(order)["bundle"]  # once more: everything is there already


def test_a_killed_extraction_goes_on_where_it_was(recipe: Recipe, parts: Parts, tmp_path: Path) -> None:
    run, network = fresh(recipe, tmp_path / "clip")
    whole = cached_features(run, network, recipe, parts.training).copy()
    assert (2 * len(parts.training), network.get_parameter("head.0.weight").numel()) == whole.shape
    stored = np.lib.format.open_memmap(tmp_path / "clip" / "features.npy", mode="r+")
    stored[:16], stored[16:] = 7.0, 0.0
    (tmp_path / "clip" / "features.done").write_text("16")
    resumed = cached_features(run, network, recipe, parts.training)
    assert (resumed[:16] == 7.0).all()  # what was done is not done again
    assert np.array_equal(resumed[16:], whole[16:])


@pytest.mark.parametrize(("file", "left"), [("features.npy", 200), ("features.npy", 5), ("features.done", 0)])
def test_a_cache_that_is_cut_off_begins_anew(
    recipe: Recipe, parts: Parts, tmp_path: Path, file: str, left: int
) -> None:
    run, network = fresh(recipe, tmp_path / "clip")
    whole = cached_features(run, network, recipe, parts.training).copy()
    with (tmp_path / "clip" / file).open("r+b") as cut_off:
        cut_off.truncate(left)
    with patch.object(network, "features", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        cached_features(run, network, recipe, parts.training)
    assert np.array_equal(cached_features(run, network, recipe, parts.training), whole)


SRM = """
[detectors.srm]
views = { size = 16, wholes = 0, crops = 1 }
architecture = { scales = 2, components = 40 }
[detectors.srm.fit]
head = "logistic"
draws = 2
batch_size = 16
learning_rate = 0.0
weight_decay = 0.0
epochs = 1
[card]
"""


def test_a_bundle_of_counts_alone_tells_the_classes_apart(
    bundle_recipe: Path, plant: Callable[..., Path], tmp_path: Path
) -> None:
    text = bundle_recipe.read_text()
    bundle_recipe.write_text(text[: text.index("[detectors.clip]")] + SRM)
    train(Order(load_recipe(str(bundle_recipe)), plant(), tmp_path / "run"))
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.detector_names == ("srm",)
    assert bundle.card["held_out"]["auroc"] > 0.95


def test_drawings_count_for_themselves(bundle_recipe: Path, plant: Callable[..., Path], tmp_path: Path) -> None:
    """Without drawings both functions are one; `lower_of` takes off what two alike would cost."""
    text = bundle_recipe.read_text()
    bundle_recipe.write_text(text[: text.index("[detectors.clip]")] + SRM)
    recipe = load_recipe(str(bundle_recipe))
    rows = look_at_data(recipe, plant(), tmp_path / "run").training
    negatives = np.flatnonzero(rows.labels == 0)
    generators = rows.generators.astype("U16")
    generators[negatives[::2]] = PROGRAM
    heads, logits = {}, {}
    for kind, known in {"without": rows, "with": replace(rows, generators=generators)}.items():
        run = Run(recipe.detectors[0], tmp_path / kind, "cpu")
        fit_head(run, recipe, known)
        heads[kind] = run.detector.network.get_parameter("head.3.weight")
        logits[kind] = run.detector.logits(torch.from_numpy(rows.pixels).permute(0, 3, 1, 2)[:, None]).detach().numpy()
    assert torch.equal(heads["without"][0], heads["without"][1])
    assert not torch.equal(heads["with"][0], heads["with"][1])
    for found in logits.values():  # ln 2 too much or too little shifts what training images average to
        mean_odds = np.mean(1.0 / (1.0 + np.exp(-found)))
        assert mean_odds == pytest.approx(np.mean(rows.labels), abs=0.03)


def test_each_draw_is_augmented_in_its_way(bundle_recipe: Path, plant: Callable[..., Path], tmp_path: Path) -> None:
    """Native, then halved: with batches that hold the end of one draw and the beginning of the next."""
    text = bundle_recipe.read_text()
    bundle_recipe.write_text(text[: text.index("[detectors.clip]")] + SRM)
    recipe = load_recipe(str(bundle_recipe), ['detectors.srm.fit.draw_as=["native", "halved"]'])
    rows = look_at_data(recipe, plant(), tmp_path / "run").training
    rows = rows.take(np.arange(24))
    run = Run(recipe.detectors[0], tmp_path / "srm", "cpu")
    network = run.detector.network
    assert isinstance(network, SrmNetwork)
    found = cached_features(run, network, recipe, rows)
    views = torch.cat([run.detector.views(Image.fromarray(picture)) for picture in rows.pixels])
    # Mirrored or not, they are counted alike.
    np.testing.assert_allclose(found[:24], network.features(normalise(views)).numpy(), atol=1e-6)
    assert not np.allclose(found[24:], found[:24], atol=1e-3)


def test_only_a_frozen_tower_has_features_to_cache(bundle_recipe: Path, parts: Parts, tmp_path: Path) -> None:
    recipe = load_recipe(str(bundle_recipe), ["detectors.clip.fit.head=logistic"])
    run, _ = fresh(recipe, tmp_path / "clip")
    with pytest.raises(RecipeError, match=r"SRM detector, or a CLIP detector with architecture\.frozen"):
        fit_head(run, recipe, parts.training)
