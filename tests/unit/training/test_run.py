from pathlib import Path

import pytest

from training.recipe import RecipeError, load_recipe
from training.run import Run
from training.train import Order, train


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])  # the second is what each of several processes is told
def test_a_cpu_trains_in_full_precision_unless_asked(tmp_path: Path, device: str) -> None:
    small = ["architecture.tower.width=32", "architecture.tower.layers=1", "architecture.taps=[0]"]
    (part, *_) = [part for part in load_recipe("cifake", small).detectors if part.name == "clip"]
    run = Run(part, tmp_path, "cpu")
    run.device = device
    assert not run.mixed


def test_a_detector_that_cannot_be_built_is_told_before_any_data_is_read(tmp_path: Path) -> None:
    recipe = load_recipe("cifake", ["detectors.clip.architecture.tower.heads=5"])  # the second to be fitted
    with pytest.raises(RecipeError, match="detector clip cannot be built"):
        train(Order(recipe, tmp_path / "nowhere", tmp_path / "run"))
    assert not (tmp_path / "run").exists()
