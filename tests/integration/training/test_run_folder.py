"""One folder, one run: of the same pictures and labels wherever they are, and one at a time."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from training.fitting.run_folder import alone_in
from training.recipe import RecipeError
from training.recipe_file import load_recipe
from training.train import Order, train

pytestmark = pytest.mark.integration


def test_a_folder_takes_the_same_data_from_elsewhere_and_refuses_swapped_labels_leaving_its_papers(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path
) -> None:
    recipe, out = load_recipe(str(bundle_recipe), ["fit.epochs=0.2"]), tmp_path / "run"
    data = plant()
    train(Order(recipe, data, out, only="clip"))
    papers = [(out / name).read_bytes() for name in ("data.json", "manifest.parquet")]
    elsewhere = tmp_path / "elsewhere" / "stripes"
    shutil.copytree(data, elsewhere)
    train(Order(recipe, elsewhere, out, only="clip"))
    (data / "train" / "REAL").rename(data / "train" / "x")
    (data / "train" / "FAKE").rename(data / "train" / "REAL")
    (data / "train" / "x").rename(data / "train" / "FAKE")
    for only in ("clip", "convnext"):  # the second would leave one folder with two manifests
        with pytest.raises(RecipeError, match=r"clip holds a run of other data .*give another --out"):
            train(Order(recipe, data, out, only=only))
    assert [(out / name).read_bytes() for name in ("data.json", "manifest.parquet")] == papers


def test_a_run_in_a_folder_where_another_is_at_work_is_refused_and_goes_when_it_has_ended(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path
) -> None:
    order = Order(load_recipe(str(bundle_recipe), ["fit.epochs=0.2"]), plant(), tmp_path / "run", only="clip")
    with alone_in(order.out, locks=True), pytest.raises(RecipeError, match=r"another run is at work in .*run"):
        train(order)
    assert train(order) == {"out": str(order.out)}
