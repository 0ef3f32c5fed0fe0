"""Each student system's recipe, run as `assay train --smoke` runs it, on a tree of folders as theirs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from training.recipe_file import RECIPES
from training.train import order_of, train

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SEEDS = sorted(file.stem for file in (RECIPES / "seeds").glob("*.toml"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SEEDS)
def test_a_student_system_is_trained_and_measured(name: str, plant: Callable[..., Path], tmp_path: Path) -> None:
    data, out = plant(60), tmp_path / "run"
    changes = ["side=32", "validation_share=0.2", "test_share=0.2"]
    report = train(order_of(f"seeds/{name}", str(data), out, changes=changes, smoke_run=True, device="cpu"))
    assert report["recipe"] == f"seeds/{name}"
    assert report["claim"]
    for network, found in report["networks"].items():
        assert found["steps"] > 0
        assert {"accuracy", "precision", "recall", "f1", "auroc", "confusion"} <= found.keys()
        assert (out / network / "weights.safetensors").stat().st_size > 0
        assert (out / network / "gradcam.png").read_bytes().startswith(b"\x89PNG")
        assert list((out / network).glob("**/events.out.tfevents*"))
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((out / "report.json").read_text())["networks"].keys() == report["networks"].keys()
