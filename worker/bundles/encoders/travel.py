"""Encoders beside a bundle: copied out with it, taken in with it, and kept in the artifact bucket for workers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.bundles.encoders.errors import EncoderError
from worker.bundles.encoders.folder import EncoderFolder, file_name
from worker.bundles.encoders.table import encoder_of
from worker.errors import GoneError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.objects.transfer import Transfer

BESIDE = "encoders"
_MOST_BYTES = 4 * 1024**3


def encoders_of(architectures: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the hashes of the encoders that detectors name, each once."""
    return sorted({str(architecture["encoder"]) for architecture in architectures if architecture.get("encoder")})


def copy_out(encoders: EncoderFolder, hashes: Iterable[str], folder: Path) -> None:
    """Copy encoders, checked, into `encoders` of a bundle's folder.

    Raises:
        EncoderError: one is missing or damaged.
    """
    for sha256 in hashes:
        encoders.read(sha256)
        (folder / BESIDE).mkdir(exist_ok=True)
        shutil.copyfile(str(encoders.find(sha256)), folder / BESIDE / _name(sha256))


def take_in(encoders: EncoderFolder, hashes: Iterable[str], folder: Path) -> None:
    """Take encoders that are not here from `encoders` of a bundle's folder; those that it lacks stay missing."""
    for sha256 in hashes:
        file = folder / BESIDE / _name(sha256)
        if encoders.find(sha256) is None and file.is_file():
            encoders.take(file)


def upload(transfer: Transfer, encoders: EncoderFolder, hashes: Iterable[str], bucket: str, prefix: str) -> None:
    """Write encoders, checked, below a prefix of a bucket.

    Raises:
        EncoderError: one is missing or damaged.
        AssayError: the store refuses or does not answer.
    """
    for sha256 in hashes:
        encoders.read(sha256)
        transfer.upload(Path(str(encoders.find(sha256))), bucket, _key(prefix, sha256))


def download(transfer: Transfer, encoders: EncoderFolder, hashes: Iterable[str], bucket: str, prefix: str) -> None:
    """Fetch encoders that are not here from below a prefix; those that it lacks stay missing.

    Raises:
        EncoderError: what is there is damaged or another.
        AssayError: the store refuses or does not answer.
    """
    for sha256 in hashes:
        if encoders.find(sha256) is not None:
            continue
        with tempfile.TemporaryDirectory(prefix="assay-encoder-") as folder:
            file = Path(folder) / _name(sha256)
            try:
                transfer.download(bucket, _key(prefix, sha256), file, max_bytes=_MOST_BYTES)
            except GoneError:
                continue
            try:
                encoders.take(file)
            except EncoderError as error:
                there = f"s3://{bucket}/{_key(prefix, sha256)}"
                raise EncoderError(f"{there} is damaged or another encoder: export it there again") from error


def require(encoders: EncoderFolder, hashes: Iterable[str]) -> None:
    """Raise EncoderError where one is not here."""
    for sha256 in hashes:
        if encoders.find(sha256) is None:
            row = encoder_of(sha256)
            raise EncoderError(
                f"encoder {row.name if row else sha256} is not in {encoders.root}: run `assay encoders fetch`, or "
                "export the bundle `--with-encoders`"
            )


def _name(sha256: str) -> str:
    row = encoder_of(sha256)
    return file_name(row.name if row else "encoder", sha256)


def _key(prefix: str, sha256: str) -> str:
    return "/".join(part for part in (prefix.strip("/"), BESIDE, _name(sha256)) if part)
