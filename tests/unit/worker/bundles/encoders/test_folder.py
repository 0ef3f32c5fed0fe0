from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from worker.bundles.encoders.errors import EncoderError
from worker.bundles.encoders.folder import EncoderFolder, file_name, tensors_sha256

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}
SHA256 = tensors_sha256(TENSORS)


def test_what_was_put_is_read_again(tmp_path: Path) -> None:
    folder = EncoderFolder(tmp_path / "encoders")
    file = folder.put("small", TENSORS)
    assert file_name("small", SHA256) == file.name
    found = folder.read(SHA256)
    assert TENSORS.keys() == found.keys()
    assert all(torch.equal(TENSORS[name], value) for name, value in found.items())
    assert [file] == list((tmp_path / "encoders").iterdir())  # nothing half-written stays


def test_the_hash_tells_names_types_and_shapes_apart() -> None:
    others = [
        {"weight": TENSORS["weight"], "shift": TENSORS["bias"]},
        {"weight": TENSORS["weight"].reshape(3, 2), "bias": TENSORS["bias"]},
        {"weight": TENSORS["weight"].to(torch.float64), "bias": TENSORS["bias"]},
    ]
    assert SHA256 not in {tensors_sha256(other) for other in others}


def test_a_missing_encoder_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"is not in .*: run `assay encoders fetch`"):
        EncoderFolder(tmp_path).read(SHA256)


@pytest.mark.parametrize("damage", ["truncated", "other tensors", "a pickle"])
def test_a_damaged_encoder_is_told_with_what_to_do(tmp_path: Path, damage: str) -> None:
    folder = EncoderFolder(tmp_path)
    file = folder.put("small", TENSORS)
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-4])
    elif damage == "other tensors":
        save_file({**TENSORS, "bias": torch.zeros(2)}, file)
    else:
        torch.save(TENSORS, file)
    with pytest.raises(EncoderError, match=r"is damaged: run `assay encoders fetch`"):
        folder.read(SHA256)


def test_a_converted_file_is_taken_after_a_check(tmp_path: Path) -> None:
    made = EncoderFolder(tmp_path / "there").put("small", TENSORS)
    folder = EncoderFolder(tmp_path / "here")
    folder.take(made)
    assert folder.read(SHA256).keys() == TENSORS.keys()
    made.write_bytes(made.read_bytes()[:-1])
    with pytest.raises(EncoderError, match="is damaged or no encoder"):
        EncoderFolder(tmp_path / "third").take(made)
    assert not (tmp_path / "third").exists()
