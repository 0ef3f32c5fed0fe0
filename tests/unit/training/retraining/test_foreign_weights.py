"""Requests name files of the data folder alone, and other weights only where a setting allows it."""

from pathlib import Path

import pytest

from training.retraining.data import recipe_of
from training.retraining.foreign_weights import place_in_data
from training.retraining.order import DataSources, RunOrder, data_sources
from worker.errors import AssayError
from worker.settings import Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    (root / "weights.safetensors").write_bytes(b"")
    (tmp_path / "secret.safetensors").write_bytes(b"")
    (root / "link.safetensors").symlink_to(tmp_path / "secret.safetensors")
    return root


def sources(root: Path, *, foreign: bool = False) -> DataSources:
    return data_sources(Settings(training_data=root, training_foreign_weights=foreign))


CHANGES = [
    "detectors.clip.pretrained=weights.safetensors",
    "detectors.clip.pretrained=/etc/passwd",
    "pretrained=hf-hub:stranger/weights",
    "architecture.model=hf-hub:stranger/network",
    "detectors.convnext.architecture.model=local-dir:/etc",
]


@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_the_recipe_does_not_name_are_refused_by_default(root: Path, change: str) -> None:
    with pytest.raises(AssayError, match="ASSAY_TRAINING_FOREIGN_WEIGHTS"):
        recipe_of(RunOrder("scratch", changes=(change,)), sources(root))


def test_a_recipe_may_be_changed_otherwise(root: Path) -> None:
    changes = ("pretrained=false", "fit.epochs=1")
    recipe = recipe_of(RunOrder("clip-pe-l14", changes=changes), sources(root))
    assert {part.pretrained for part in recipe.detectors} == {False}


def test_where_it_is_allowed_weights_come_from_the_data_folder(root: Path) -> None:
    order = RunOrder("scratch", changes=("detectors.clip.pretrained=weights.safetensors",))
    recipe = recipe_of(order, sources(root, foreign=True))
    named = {part.name: part.pretrained for part in recipe.detectors}
    assert named["clip"] == str(root / "weights.safetensors")


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/hostname", "/etc/nothing", "link.safetensors", "a/../b"]
)
def test_no_answer_tells_which_files_there_are_elsewhere(root: Path, name: str) -> None:
    with pytest.raises(AssayError) as refused:
        place_in_data(name, root)
    assert refused.value.detail == f"there is no {name} in the training worker's data folder"
    if name.endswith(".safetensors"):
        with pytest.raises(AssayError, match="in the training worker's data folder"):
            recipe_of(RunOrder("scratch", changes=(f"detectors.clip.pretrained={name}",)), sources(root, foreign=True))
