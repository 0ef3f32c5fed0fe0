from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from training.recipe import RecipeError, load_recipe
from training.run import Run
from training.train import Order, train


def test_one_of_several_processes_on_cpus_trains_in_full_precision_and_can_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "device", torch.device("cpu:0"))  # what each of them is told
    small = ["architecture.tower.width=32", "architecture.tower.layers=1", "architecture.taps=[0]"]
    (part, *_) = [part for part in load_recipe("cifake", small).detectors if part.name == "clip"]
    run = Run(part, tmp_path, "cpu")
    run.save()
    assert not run.mixed
    assert Run(part, tmp_path, "cpu").resume()


def test_a_detector_that_cannot_be_built_is_told_before_any_data_is_read(tmp_path: Path) -> None:
    recipe = load_recipe("cifake", ["detectors.clip.architecture.tower.heads=5"])  # the second to be fitted
    with pytest.raises(RecipeError, match="detector clip cannot be built"):
        train(Order(recipe, tmp_path / "nowhere", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "best.safetensors"])
def test_a_cut_off_checkpoint_says_what_to_delete(tmp_path: Path, name: str) -> None:
    small = ["architecture.tower.width=32", "architecture.tower.layers=1", "architecture.taps=[0]"]
    (part, *_) = [part for part in load_recipe("cifake", small).detectors if part.name == "clip"]
    run = Run(part, tmp_path, "cpu")
    run.save()
    run.save_best()
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:500])
    with pytest.raises(RecipeError, match=rf"{name} is damaged .*delete .* is fitted anew"):
        run.take_best() if run.resume() else None
