"""`assay encoders fetch`: whatever is wrong with a file is one line that says what to do, and nothing is left of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from infra.cli.encoders import app
from worker.bundles.encoders import arrivals, table
from worker.bundles.encoders.folder import EncoderFolder, tensors_sha256
from worker.errors import AssayError

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3)}
SHA256 = tensors_sha256(TENSORS)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of encoders, still missing; the table has one small encoder."""
    small = (replace(table.ENCODERS[0], name="small", sha256=SHA256),)
    monkeypatch.setattr(table, "ENCODERS", small)
    monkeypatch.setattr(arrivals, "ENCODERS", small)
    monkeypatch.setenv("ASSAY_ENCODERS_DIR", str(tmp_path / "here"))
    return tmp_path / "here"


def fetch(source: Path | str) -> None:
    done = CliRunner().invoke(app, ["fetch", "--from", str(source)])
    if done.exception is not None:
        raise done.exception


def test_a_local_safetensors_file_is_an_encoder_by_its_tensors_whatever_its_name(here: Path, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "any name.safetensors")
    fetch(tmp_path / "any name.safetensors")
    assert EncoderFolder(here).read(SHA256).keys() == TENSORS.keys()


def test_an_encoder_of_one_s_own_is_taken_by_the_hash_in_its_name(here: Path, tmp_path: Path) -> None:
    own = {"weight": torch.ones(4)}
    sha256 = tensors_sha256(own)
    save_file(own, tmp_path / "own.safetensors")
    with pytest.raises(AssayError, match=rf"which no encoder has: .*NAME-{sha256[:16]}\.safetensors"):
        fetch(tmp_path / "own.safetensors")
    assert not here.exists()
    (tmp_path / "own.safetensors").rename(tmp_path / f"own-{sha256[:16]}.safetensors")
    fetch(tmp_path / f"own-{sha256[:16]}.safetensors")
    assert EncoderFolder(here).read(sha256).keys() == own.keys()


@pytest.mark.parametrize("damage", ["truncated", "a pickle", "empty"])
def test_a_damaged_file_is_told_in_one_line_and_leaves_nothing(here: Path, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "encoder.safetensors"
    save_file(TENSORS, file)
    if damage == "a pickle":
        torch.save(TENSORS, file)
    else:
        file.write_bytes(file.read_bytes()[:-4] if damage == "truncated" else b"")
    with pytest.raises(AssayError, match="is no safetensors file, or damaged: bring it again") as raised:
        fetch(file)
    assert "\n" not in str(raised.value)
    assert not here.exists()


@pytest.mark.parametrize("place", ["empty folder", "nowhere"])
def test_a_place_without_the_encoder_is_told_with_what_to_do(here: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "empty folder").mkdir()
    with pytest.raises(AssayError, match=r"name (the folder that has one of them|where encoders lie)$"):
        fetch(tmp_path / place)
    assert not here.exists()


def test_what_is_here_and_whole_is_not_fetched_again(here: Path) -> None:
    EncoderFolder(here).put("small", TENSORS)
    fetch("s3://nowhere/at-all")
    assert len(list(here.iterdir())) == 1
