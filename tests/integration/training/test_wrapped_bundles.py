"""`assay bundles build` wraps published networks, from folders in timm's and open_clip's formats."""

import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from infra.cli.bundles import app
from infra.cli.bundles_card import as_text as card_as_text
from training.export.published_networks import NetworkError, open_clip_tower, open_convnext
from worker.bundles.card import read_card
from worker.bundles.loaded import load_bundle
from worker.errors import AssayError

pytestmark = pytest.mark.integration

_TOWER = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
}
_EACH = 60


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise without and with a grid, which any network can tell apart: real/ and fake/, 60 each."""
    folder, rng = tmp_path_factory.mktemp("labelled"), np.random.default_rng(5)
    for name in ("real", "fake"):
        (folder / name).mkdir()
        for number in range(_EACH):
            pixels = rng.integers(60, 120, (48, 48, 3), dtype=np.uint8)
            if name == "fake":
                pixels[::4] = 230
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-class timm network as `timm.models.push_to_hf_hub` would save it."""
    folder = tmp_path_factory.mktemp("timm")
    torch.manual_seed(4)
    network = timm.create_model("test_convnext", pretrained=False, num_classes=2)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "model.safetensors")
    pretrained = {"input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3, "label_names": ["real", "fake"]}
    config = {"architecture": "test_convnext", "num_classes": 2, "pretrained_cfg": pretrained}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP as open_clip saves it."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(4)
    pixels = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": _TOWER, "preprocess_cfg": pixels}))
    both = open_clip.CLIP(**_TOWER)
    tensors = {name: value.contiguous() for name, value in both.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    return folder


def build(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["build", *(str(argument) for argument in arguments)])


def test_two_published_networks_become_a_calibrated_bundle_with_a_card(
    labelled: Path, timm_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    networks = ("--convnext", timm_folder, "--clip", clip_folder, "--licences", "tests only")
    result = build(*networks, "--calibrate-on", labelled, "--name", "wrapped", "--out", out, "--robustness", 8)
    assert result.exit_code == 0, result.output + repr(result.exception)
    bundle = load_bundle(out)
    assert bundle.version in result.stdout
    assert set(bundle.detector_names) == {"convnext", "clip"}
    with Image.open(labelled / "fake" / "0.png") as fake, Image.open(labelled / "real" / "0.png") as real:
        scores = bundle.score([bundle.prepare(fake), bundle.prepare(real)])
    assert scores[0].probability > scores[1].probability
    assert bundle.heatmaps([bundle.prepare(Image.new("RGB", (64, 64)))])[0].keys() == {"convnext", "clip"}
    card = bundle.card
    assert (card["heads_fitted_here"], card["bundle"]) == (["clip"], bundle.version)
    assert card["held_out"]["auroc"] > 0.9
    assert card["certificate"]["method"].startswith("Clopper")
    assert card["calibration_data"]["images"] + card["head_data"]["images"] == 2 * _EACH
    assert len(card["calibration_data"]["fingerprint_sha256"]) == 64
    assert card["code_version"]
    assert str(labelled) not in json.dumps(dict(card))
    assert card["fitted_in_folds"] == "by content"
    for older in (card, {**card, "folds": "by content"}):  # as releases before told it
        assert bundle.version in card_as_text(read_card(older))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--convnext", "a", "--head", "head.safetensors"), "--convnext-head"),
        (("--clip", "a", "--convnext-head", "head.safetensors"), "--head"),
        (("--clip", "a", "--name", "Mine Too"), "no name of a bundle"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = build("--calibrate-on", "nowhere", "--name", "x", "--out", tmp_path / "b", *arguments)
    assert result.exit_code != 0
    assert message in result.output + str(result.exception)


def test_a_folder_with_pickles_alone_is_refused(timm_folder: Path, labelled: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((timm_folder / "config.json").read_text())
    torch.save({}, pickled / "pytorch_model.bin")
    result = build("--convnext", pickled, "--calibrate-on", labelled, "--name", "x", "--out", tmp_path / "out")
    assert isinstance(result.exception, AssayError)
    assert "pickles may run code" in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "odd",
    [
        {"model_args": {"no_such_argument": 1}},
        {"pretrained_cfg": {"input_size": [3, 64, 64], "mean": 0.5, "std": [0.5] * 3}},
        {"pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.5], "std": [0.5]}},
        {"pretrained_cfg": {"input_size": 64}},
        {"architecture": "no_such_network"},
        {"num_classes": "two"},
    ],
)
def test_an_odd_configuration_is_told_in_one_line(timm_folder: Path, tmp_path: Path, odd: dict[str, object]) -> None:
    folder = Path(shutil.copytree(timm_folder, tmp_path / "odd"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **odd}))
    with pytest.raises(NetworkError, match=r"timm cannot load .*odd .*give a folder with config\.json"):
        open_convnext(str(folder), crops=0, head=None)


@pytest.mark.parametrize("pixels", [{"mean": "grey"}, {"mean": [0.5], "std": [0.5]}])
def test_an_odd_tower_is_told_in_one_line(clip_folder: Path, tmp_path: Path, pixels: dict[str, object]) -> None:
    folder = Path(shutil.copytree(clip_folder, tmp_path / "odd"))
    config = {"model_cfg": _TOWER, "preprocess_cfg": {"std": [0.5] * 3, **pixels}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(NetworkError, match=r"open_clip cannot load .*odd .*give a folder with open_clip_config\.json"):
        open_clip_tower(str(folder), head=None)


def test_a_name_whose_weights_are_a_pickle_alone_is_refused_before_anything_is_fetched(
    labelled: Path, tmp_path: Path
) -> None:
    result = build("--convnext", "gcvit_base.in1k", "--calibrate-on", labelled, "--name", "x", "--out", tmp_path / "o")
    assert isinstance(result.exception, AssayError)
    assert "as a pickle alone" in str(result.exception)


def test_a_pickle_beside_safetensors_is_never_opened(
    labelled: Path, clip_folder: Path, timm_folder: Path, tmp_path: Path
) -> None:
    """What a loader would take to be weights fails loudly when it is opened."""
    for folder, names in ((clip_folder, ("open_clip_pytorch_model.bin",)), (timm_folder, ("pytorch_model.bin",))):
        copied = Path(shutil.copytree(folder, tmp_path / folder.name))
        for name in names:
            (copied / name).write_bytes(b"no pickle at all")
    folders = ("--convnext", tmp_path / timm_folder.name, "--clip", tmp_path / clip_folder.name)
    out = tmp_path / "out"
    result = build(*folders, "--calibrate-on", labelled, "--name", "x", "--out", out, "--robustness", 0)
    assert result.exit_code == 0, repr(result.exception)
    assert {file.suffix for file in out.iterdir()} == {".json", ".safetensors"}


def test_a_head_from_a_file_is_put_on_and_one_that_does_not_fit_is_refused(
    labelled: Path, clip_folder: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for width, message in ((16, None), (5, "does not fit 16 features")):
        file = tmp_path / f"head-{width}.safetensors"
        weight = torch.tensor(rng.normal(0, 1, (2, width)), dtype=torch.float32)
        save_file({"classifier.weight": weight, "classifier.bias": torch.zeros(2)}, file)
        out = tmp_path / f"out-{width}"
        network = ("--clip", clip_folder, "--head", file)
        result = build(*network, "--calibrate-on", labelled, "--name", "x", "--out", out, "--robustness", 0)
        if message is None:
            assert result.exit_code == 0, repr(result.exception)
            assert load_bundle(out).card["heads_fitted_here"] == []
        else:
            assert message in str(result.exception)


def test_too_few_images_are_refused_with_how_many_are_wanted(timm_folder: Path, tmp_path: Path) -> None:
    for name in ("real", "fake"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.effect_noise((48, 48), 10 + number).save(tmp_path / name / f"{name}{number}.png")
    result = build("--convnext", timm_folder, "--calibrate-on", tmp_path, "--name", "x", "--out", tmp_path / "out")
    assert isinstance(result.exception, AssayError)
    assert "at least 40 of each" in str(result.exception)
