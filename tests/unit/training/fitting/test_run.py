from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from training.fitting.run import Run
from training.fitting.schedule import parameter_groups
from training.recipe import DetectorRecipe, RecipeError
from training.recipe_file import load_recipe
from training.train import Order, train


def test_one_of_several_processes_on_cpus_trains_in_full_precision_and_can_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "device", torch.device("cpu:0"))  # what each of them is told
    monkeypatch.setattr("training.fitting.run.multiplies_bf16", lambda: False)
    part = _small_clip([])
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
    part = _small_clip([])
    run = Run(part, tmp_path, "cpu")
    run.save()
    run.save_best()
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:500])
    with pytest.raises(RecipeError, match=rf"{name} is damaged .*delete .* is fitted anew"):
        run.take_best() if run.resume() else None


@pytest.mark.parametrize(
    ("precision", "hardware", "mixed"),
    [("auto", True, True), ("auto", False, False), ("fp32", True, False), ("bf16", False, True)],
)
def test_a_cpu_trains_in_mixed_precision_where_it_multiplies_bf16_or_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, *, hardware: bool, mixed: bool
) -> None:
    monkeypatch.setattr("training.fitting.run.multiplies_bf16", lambda: hardware)
    assert Run(_small_clip([f"fit.precision={precision}"]), tmp_path, "cpu").mixed is mixed


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_optimizer_takes_the_very_step_it_would_have_taken(tmp_path: Path, optimizer: str) -> None:
    part = _small_clip([f"fit.optimizer={optimizer}"])
    run = Run(part, tmp_path, "cpu")
    _step(run)
    run.save()
    resumed = Run(part, tmp_path, "cpu")
    assert resumed.resume()
    before = {name: value.clone() for name, value in run.detector.network.state_dict().items()}
    for one in (run, resumed):
        _step(one)
    after = run.detector.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in resumed.detector.network.state_dict().items())
    assert not torch.equal(before["head.1.weight"], after["head.1.weight"])


def test_a_checkpoint_whose_optimizer_counted_its_weights_is_told_to_be_of_an_earlier_version(tmp_path: Path) -> None:
    part = _small_clip([])
    run = Run(part, tmp_path, "cpu")
    _step(run)
    run.save()
    file = tmp_path / "checkpoint.safetensors"
    with safe_open(file, framework="pt") as opened:
        header = opened.metadata()
    kept = {name: value for name, value in load_file(file).items() if not name.startswith("optimizer.")}
    save_file({**kept, "optimizer.3.exp_avg": torch.zeros(1)}, file, metadata=header)
    with pytest.raises(RecipeError, match=rf"is of an earlier version; delete {tmp_path}"):
        Run(part, tmp_path, "cpu").resume()


def test_a_checkpoint_with_weights_of_other_shapes_is_told_to_be_of_an_earlier_version(tmp_path: Path) -> None:
    part = _small_clip([])
    Run(part, tmp_path, "cpu").save()
    file = tmp_path / "checkpoint.safetensors"
    with safe_open(file, framework="pt") as opened:
        header = opened.metadata()
    save_file({**load_file(file), "network.head.1.weight": torch.zeros(1, 3)}, file, metadata=header)
    with pytest.raises(RecipeError, match=rf"is of an earlier version; delete {tmp_path}"):
        Run(part, tmp_path, "cpu").resume()


def test_matrices_alone_decay_and_are_orthogonalised_but_for_tables(tmp_path: Path) -> None:
    network = Run(_small_clip(["fit.optimizer=muon"]), tmp_path, "cpu").detector.network
    names = {id(p): name for name, p in network.named_parameters()}
    decayed, rest = parameter_groups(network, 0.5)
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert (decayed["weight_decay"], decayed.get("use_fallback", False)) == (0.5, False)
    assert [names[id(p)] for p in rest["params"] if p.ndim > 1] == ["tower.positional_embedding"]
    assert (rest["weight_decay"], rest["use_fallback"]) == (0.0, True)
    assert len(decayed["params"]) + len(rest["params"]) == len(names)


def _small_clip(changes: list[str]) -> DetectorRecipe:
    small = ["width=32", "layers=1", "heads=2"]
    smaller = [*(f"architecture.tower.{one}" for one in small), "architecture.taps=[0]", *changes]
    (part, *_) = [part for part in load_recipe("cifake", smaller).detectors if part.name == "clip"]
    return part


def _step(run: Run) -> None:
    run.detector.network.train()
    torch.manual_seed(0)  # of what the tower drops
    pixels = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    run.optimizer.zero_grad()
    torch.autograd.backward(run.detector.view_logits(pixels).square().mean())
    run.optimizer.step()
