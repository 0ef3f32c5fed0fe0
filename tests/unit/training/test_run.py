from pathlib import Path

import pytest

from training.recipe import load_recipe
from training.run import Run


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])  # the second is what each of several processes is told
def test_a_cpu_trains_in_full_precision_unless_asked(tmp_path: Path, device: str) -> None:
    small = ["architecture.tower.width=32", "architecture.tower.layers=1", "architecture.taps=[0]"]
    (part, *_) = [part for part in load_recipe("cifake", small).detectors if part.name == "clip"]
    run = Run(part, tmp_path, "cpu")
    run.device = device
    assert not run.mixed
