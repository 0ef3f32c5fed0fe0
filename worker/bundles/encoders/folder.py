"""Encoders on this machine: one safetensors file each, named by the encoder and the hash of its tensors."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from worker.bundles.encoders.errors import EncoderError
from worker.bundles.encoders.table import encoder_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_FILE = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)-(?P<sha256>[0-9a-f]{16})\.safetensors")
_SHORT = 16
_PROJECT = Path(__file__).resolve().parents[3]


def default_root() -> Path:
    """Return where encoders lie unless ASSAY_ENCODERS_DIR says otherwise.

    That is the project's data folder, or beside the interpreter where Assay runs without its project's folder.
    """
    return _PROJECT / ".assay" / "encoders" if (_PROJECT / "pyproject.toml").exists() else Path(sys.prefix) / "encoders"


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hash tensors with their names, types and shapes: sha256, 64 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def file_name(name: str, sha256: str) -> str:
    """Name the file of an encoder."""
    return f"{name}-{sha256[:_SHORT]}.safetensors"


class EncoderFolder:
    """Encoders by the hash of their tensors; whatever is read was checked against it."""

    def __init__(self, root: Path | None = None) -> None:
        """Keep the folder, by default `default_root()`; it is made when the first encoder comes."""
        self.root = root or default_root()

    def find(self, sha256: str) -> Path | None:
        """Return the file that claims to hold an encoder, unchecked; None where there is none."""
        return next((file for file in self.files() if file.stem.endswith(f"-{sha256[:_SHORT]}")), None)

    def files(self) -> list[Path]:
        """Return every encoder's file, unchecked."""
        return sorted(file for file in self.root.glob("*.safetensors") if _FILE.fullmatch(file.name))

    def read(self, sha256: str) -> dict[str, Tensor]:
        """Read and check an encoder.

        Raises:
            EncoderError: it is missing, truncated, no safetensors file or of another hash.
        """
        row, file = encoder_of(sha256), self.find(sha256)
        called = row.name if row else f"with tensors of sha256 {sha256}"
        if file is None:
            raise EncoderError(f"encoder {called} is not in {self.root}: run `assay encoders fetch`")
        if (tensors := _read_or_none(file)) is None or tensors_sha256(tensors) != sha256:
            raise EncoderError(f"encoder {called} in {file} is damaged: run `assay encoders fetch` to replace it")
        return tensors

    def put(self, name: str, tensors: Mapping[str, Tensor]) -> Path:
        """Store an encoder under its hash, in one move; what was there under that name is replaced."""
        file = self.root / file_name(name, tensors_sha256(tensors))
        self.root.mkdir(parents=True, exist_ok=True)
        handle, half = tempfile.mkstemp(prefix=".encoder-", dir=self.root)
        os.close(handle)
        try:
            save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, half)
            Path(half).chmod(0o644)  # another user may run the workers
            Path(half).replace(file)
        finally:
            Path(half).unlink(missing_ok=True)
        return file

    def take(self, file: Path) -> Path:
        """Copy a converted file in after checking that it holds what its name says.

        Raises:
            EncoderError: it is damaged, no safetensors file, or of another hash.
        """
        named, tensors = _FILE.fullmatch(file.name), _read_or_none(file)
        if named is None or tensors is None or not tensors_sha256(tensors).startswith(named["sha256"]):
            raise EncoderError(f"{file} is damaged or no encoder: fetch it again from where it was exported")
        return self.put(named["name"], tensors)


def _read_or_none(file: Path) -> dict[str, Tensor] | None:
    try:
        return load_file(file)
    except (OSError, SafetensorError, ValueError):
        return None
