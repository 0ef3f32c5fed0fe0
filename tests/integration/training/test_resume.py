"""Training as its own process: killed, resumed, and on two processes at once."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from training.train import order_of, train

pytestmark = pytest.mark.integration


def training(recipe: Path, data: Path, out: Path, *options: str, launcher: Sequence[str] = ()) -> list[str]:
    order = ["--recipe", str(recipe), "--data", str(data), "--out", str(out), "--threads", "1", "--device", "cpu"]
    return [sys.executable, *launcher, "-m", "training.train", *order, "--detector", "clip", *options]


def steps(checkpoint: Path) -> int:
    with safe_open(checkpoint, framework="pt") as opened:
        return int(opened.metadata()["step"])


def kill_after_first_checkpoint(command: list[str], checkpoint: Path) -> None:
    """Kill -9 as soon as there is a checkpoint: the run writes one after every step."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not checkpoint.exists():
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_killed_with_kill_9_ends_with_the_weights_of_one_that_was_not(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path, optimizer: str
) -> None:
    data = plant()
    exact = ["fit.precision=fp32", f"fit.optimizer={optimizer}"]
    whole, killed = (tmp_path / name / "clip" / "checkpoint.safetensors" for name in ("whole", "killed"))

    def train_in(folder: str) -> None:
        order = order_of(str(bundle_recipe), str(data), tmp_path / folder, changes=exact, device="cpu", only="clip")
        train(order)

    train_in("whole")
    sets = [part for change in exact for part in ("--set", change)]
    kill_after_first_checkpoint(training(bundle_recipe, data, tmp_path / "killed", *sets), killed)
    assert 0 < steps(killed) < steps(whole)
    train_in("killed")
    assert steps(whole) == steps(killed)
    expected, found = load_file(whole), load_file(killed)
    assert expected.keys() == found.keys()
    # Network, averaged weights and the optimizer's moments: every bit.
    assert not [name for name, value in expected.items() if not torch.equal(value, found[name])]


def test_a_folder_of_another_run_is_refused(plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path) -> None:
    data = plant()
    short = ["fit.epochs=1"]
    train(order_of(str(bundle_recipe), str(data), tmp_path / "run", changes=short, device="cpu", only="clip"))
    other = subprocess.run(
        training(bundle_recipe, data, tmp_path / "run", "--set", *short, "--set", "seed=6"),
        check=False,
        capture_output=True,
        text=True,
    )
    assert other.returncode != 0
    assert "holds a run of another recipe" in other.stderr.splitlines()[-1]
    assert "Traceback" not in other.stderr


@pytest.mark.slow
def test_two_processes_share_a_run(plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path) -> None:
    # Torch's own launcher, as `accelerate launch` uses it on GPUs; accelerate alone knows CPUs only with MPI.
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = training(bundle_recipe, plant(), tmp_path / "two", launcher=launcher)
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(command, check=True, capture_output=True)  # goes on from its checkpoint: nothing is left to do
    subprocess.run(training(bundle_recipe, plant(), tmp_path / "one"), check=True, capture_output=True)
    files = [tmp_path / name / "clip" / "checkpoint.safetensors" for name in ("one", "two")]
    assert steps(files[0]) == steps(files[1])
    one, two = (load_file(file)["averaged.head.1.weight"] for file in files)
    # Each process draws dropout and augmentation of its own, so they agree on where to go, not on every bit.
    assert not torch.equal(one, two)
    assert torch.nn.functional.cosine_similarity(one, two).item() > 0.8


@pytest.mark.slow
def test_of_two_processes_one_caches_features_and_fits_the_head(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path
) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    frozen = ["--set", "detectors.clip.architecture.frozen=true", "--set", "detectors.clip.fit.head=logistic"]
    two = training(bundle_recipe, plant(), tmp_path / "two", *frozen, launcher=launcher)
    done = subprocess.run(two, check=True, capture_output=True, text=True)
    assert (done.stderr.count("clip features:   0%"), done.stderr.count("clip features: 0it")) == (1, 0)
    again = subprocess.run(two, check=True, capture_output=True, text=True)
    assert "clip features" not in again.stderr
    subprocess.run(training(bundle_recipe, plant(), tmp_path / "one", *frozen), check=True, capture_output=True)
    files = [tmp_path / name / "clip" / "checkpoint.safetensors" for name in ("one", "two")]
    one, other = (load_file(file)["averaged.head.1.weight"] for file in files)
    assert torch.allclose(one, other, rtol=1e-3)
