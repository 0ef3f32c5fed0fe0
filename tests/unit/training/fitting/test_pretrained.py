"""Pretrained weights come through the libraries' own loaders; here from small local files in their formats."""

import json
import pickle
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file

from training.fitting.pretrained import give_weights
from training.recipe import DetectorRecipe, Fit, RecipeError
from worker.bundles.encoders.folder import EncoderFolder, tensors_sha256
from worker.images.views import ViewPlan

FIT = Fit(batch_size=4, learning_rate=1e-3, weight_decay=0.0, epochs=1)
CONVNEXT = "test_convnext.r160_in1k"
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def published(file: Path, network: torch.nn.Module) -> str:
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, file)
    return str(file)


def test_a_timm_network_brings_everything_but_its_head(tmp_path: Path) -> None:
    whole = timm.create_model(CONVNEXT, pretrained=False)
    file = published(tmp_path / "convnext.safetensors", whole)
    part = DetectorRecipe("convnext", {"model": CONVNEXT}, ViewPlan(64, 0, 1), FIT, file, "convnext")
    detector = part.build()
    give_weights(detector, part)
    loaded, theirs = detector.network.state_dict(), whole.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in loaded.items() if not name.startswith("head.fc"))
    assert (1, *theirs["head.fc.weight"].shape[1:]) == tuple(loaded["head.fc.weight"].shape)


def test_a_classifier_takes_timms_body_and_freezes_its_early_layers(tmp_path: Path) -> None:
    whole = timm.create_model("test_resnet.r160_in1k", pretrained=False)
    file = published(tmp_path / "resnet.safetensors", whole)
    architecture = {"model": "test_resnet.r160_in1k", "freeze": ["conv1", "layer1"]}
    part = DetectorRecipe("r", architecture, ViewPlan(64, 1, 0), FIT, file, "classifier")
    detector = part.build()
    give_weights(detector, part)
    body = detector.network.get_submodule("body")
    assert torch.equal(body.get_parameter("layer1.0.conv1.weight"), whole.get_parameter("layer1.0.conv1.weight"))
    frozen = {name.split(".")[0] for name, value in body.named_parameters() if not value.requires_grad}
    assert {"conv1", "layer1"} == frozen


@pytest.mark.parametrize("whose", [CONVNEXT, "nobody's"])
def test_a_classifier_refuses_weights_of_another_network(tmp_path: Path, whose: str) -> None:
    """Without a head of a thousand classes, timm takes what fits of a file, and be it nothing."""
    other = torch.nn.Linear(8, 1) if whose == "nobody's" else timm.create_model(whose, pretrained=False)
    file = published(tmp_path / "other.safetensors", other)
    part = DetectorRecipe("r", {"model": "test_resnet.r160_in1k"}, ViewPlan(64, 1, 0), FIT, file, "classifier")
    with pytest.raises(RecipeError, match="of its weights are not in it"):
        give_weights(part.build(), part)


def test_an_encoder_of_the_data_folder_is_where_a_fit_of_all_of_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = timm.create_model("test_resnet.r160_in1k", pretrained=False, num_classes=0).state_dict()
    folder = EncoderFolder(tmp_path)
    folder.put("tiny", theirs)
    monkeypatch.setattr("training.fitting.pretrained.EncoderFolder", lambda: folder)
    sha256 = tensors_sha256(theirs)
    architecture = {
        "kind": "encoder",
        "model": "test_resnet",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "taps": ["layer4:mean"],
        "features": 8,
    }
    part = DetectorRecipe("tiny", architecture, ViewPlan(32, 1, 0), FIT, sha256)
    detector = part.build()
    give_weights(detector, part)
    loaded = detector.network.state_dict()
    assert all(torch.equal(loaded[f"body.net.{name}"], value.float()) for name, value in theirs.items())
    assert all(value.requires_grad for value in detector.network.parameters())
    folder.files()[0].write_bytes(b"torn")
    with pytest.raises(RecipeError, match="assay encoders fetch"):
        give_weights(part.build(), part)


def test_what_lies_behind_an_encoders_last_tap_is_frozen() -> None:
    """No gradient reaches it, and several processes would wait for one for good."""
    architecture = {"kind": "encoder", "model": "test_resnet", "taps": ["layer2:mean"], "features": 8}
    architecture |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    part = DetectorRecipe("tiny", architecture, ViewPlan(32, 1, 0), FIT, False)
    detector = part.build()
    give_weights(detector, part)
    fitted = {name for name, value in detector.network.named_parameters() if value.requires_grad}
    assert "head.weight" in fitted
    assert any(name.startswith("body.net.layer2.") for name in fitted)
    assert not any(name.startswith(("body.net.layer3.", "body.net.layer4.")) for name in fitted)
    assert all(value.grad is None for value in detector.network.parameters())


def test_without_pretrained_weights_nothing_is_frozen() -> None:
    architecture = {"model": "test_resnet.r160_in1k", "freeze": ["conv1"]}
    part = DetectorRecipe("r", architecture, ViewPlan(64, 1, 0), FIT, False, "classifier")
    detector = part.build()
    give_weights(detector, part)
    assert all(value.requires_grad for value in detector.network.parameters())


@pytest.fixture
def tiny_clip(tmp_path: Path) -> str:
    """Tell open_clip of a tiny architecture, as people tell it of their own."""
    (tmp_path / "assay-tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path)
    return "assay-tiny"


def test_open_clips_own_file_gives_its_image_tower(tmp_path: Path, tiny_clip: str) -> None:
    whole = open_clip.create_model(tiny_clip, pretrained=None, load_weights=False)
    file = published(tmp_path / "clip.safetensors", whole)
    part = DetectorRecipe(
        "clip", {"model": tiny_clip, "frozen": True, "taps": [1]}, ViewPlan(32, 1, 0), FIT, file, "clip"
    )
    detector = part.build()
    give_weights(detector, part)
    tower = detector.network.get_submodule("tower")
    assert all(torch.equal(value, tower.state_dict()[name]) for name, value in whole.visual.state_dict().items())
    trained = {name.split(".")[0] for name, value in detector.network.named_parameters() if value.requires_grad}
    assert {"head"} == trained


def test_weights_that_are_no_safetensors_or_of_another_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\x80\x04")
    part = DetectorRecipe(
        "convnext", {"model": CONVNEXT}, ViewPlan(64, 0, 1), FIT, str(tmp_path / "weights.bin"), "convnext"
    )
    with pytest.raises(RecipeError, match="must be safetensors"):
        give_weights(part.build(), part)
    other = published(tmp_path / "other.safetensors", timm.create_model("test_resnet.r160_in1k", pretrained=False))
    part = DetectorRecipe("convnext", {"model": CONVNEXT}, ViewPlan(64, 0, 1), FIT, other, "convnext")
    with pytest.raises(RecipeError, match="pretrained=false"):
        give_weights(part.build(), part)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(Path(other).read_bytes()[:1000])
    part = DetectorRecipe("convnext", {"model": CONVNEXT}, ViewPlan(64, 0, 1), FIT, str(torn), "convnext")
    with pytest.raises(RecipeError, match="cannot be loaded"):
        give_weights(part.build(), part)
    missing = DetectorRecipe(
        "convnext", {"model": CONVNEXT}, ViewPlan(64, 0, 1), FIT, "nowhere.safetensors", "convnext"
    )
    with pytest.raises(RecipeError, match="cannot be loaded"):
        give_weights(missing.build(), missing)


@pytest.mark.parametrize("name", ["weights", "weights.safetensors", "weights.bin", "laion"])
def test_a_pickle_is_no_weights_file_whatever_its_name(tmp_path: Path, tiny_clip: str, name: str) -> None:
    """open_clip loads any file of a name that is no tag, and so did we where the name had no suffix."""
    ran = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (ran.touch, ())

    (tmp_path / name).write_bytes(pickle.dumps(Hostile()))
    clip = {"model": tiny_clip, "frozen": True, "taps": [1]}
    parts = [
        DetectorRecipe("clip", clip, ViewPlan(32, 1, 0), FIT, str(tmp_path / name), "clip"),
        DetectorRecipe("convnext", {"model": CONVNEXT}, ViewPlan(64, 0, 1), FIT, str(tmp_path / name), "convnext"),
    ]
    for part in parts:
        with pytest.raises(RecipeError, match="must be safetensors"):
            give_weights(part.build(), part)
    assert not ran.exists()


def test_weights_that_a_library_has_as_a_pickle_alone_are_refused() -> None:
    part = DetectorRecipe("r", {"model": "gcvit_xxtiny.in1k"}, ViewPlan(224, 1, 0), FIT, True, "classifier")
    with pytest.raises(RecipeError, match="as a pickle alone"):
        give_weights(part.build(), part)


def test_a_network_without_a_name_has_no_weights_to_fetch() -> None:
    architecture = {"network": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}}
    part = DetectorRecipe("convnext", architecture, ViewPlan(32, 0, 1), FIT, True, "convnext")
    with pytest.raises(RecipeError, match="no weights but a local file's"):
        give_weights(part.build(), part)
