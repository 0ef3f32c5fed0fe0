"""Where bundles are besides this release: below prefixes of buckets, and copies of them on this machine.

Only the files that `bundle.json` names travel. A copy is put into place in one move, after its content was checked.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worker.bundles.plain_files import BundleError, check_plain, most_bytes, open_plain, read_json
from worker.bundles.shelf import BundleMissingError
from worker.errors import AssayError, GoneError, TooLargeError
from worker.objects.transfer import Transfer

# Beside a shipped bundle, and no part of it: what refits of it replay. It does not travel.
REPLAY = "replay.parquet"
_DETECTOR = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def artifact_prefix(version: str) -> str:
    """Name the place of a bundle in the artifact bucket; it becomes the location of the registered bundle."""
    return f"bundles/{version}/"


def files_of(description: Mapping[str, Any]) -> list[str]:
    """Name a bundle's files, the description last: a bundle that has one is whole.

    Raises:
        AssayError: the description names files that no bundle has.
    """
    detectors = description.get("detectors")
    if not isinstance(detectors, dict) or not all(_DETECTOR.fullmatch(name) for name in detectors):
        raise AssayError("its bundle.json describes no bundle: export it again")
    return [*(f"{name}.safetensors" for name in detectors), "card.json", "bundle.json"]


def upload_bundle(transfer: Transfer, folder: Path, bucket: str, prefix: str) -> None:
    """Write a bundle's files below a prefix.

    Nothing is written unless every file is a plain one within its limit.

    Raises:
        AssayError: the folder holds none, one of its files is a link, pipe or device, or the store refuses.
        ObjectStoreDownError: the store does not answer.
    """
    names = files_of(read_json(folder / "bundle.json"))
    check_plain(folder, names)
    for name in names:
        with open_plain(folder / name) as file:
            transfer.upload_stream(file, bucket, _key(prefix, name))


def download_bundle(transfer: Transfer, bucket: str, prefix: str, folder: Path) -> None:
    """Fetch a bundle's files into a folder that exists; what they hold is checked by whoever reads them.

    Raises:
        BundleMissingError: there is none below the prefix.
        AssayError: what is there is no bundle, a file of it is too large, or the store refuses.
        ObjectStoreDownError: the store does not answer.
    """
    _download(transfer, bucket, _key(prefix, "bundle.json"), folder / "bundle.json")
    for name in files_of(read_json(folder / "bundle.json"))[:-1]:
        _download(transfer, bucket, _key(prefix, name), folder / name)


class BundleCopies:
    """Copies of the bundles in a bucket, on this machine's disk."""

    def __init__(self, transfer: Transfer, bucket: str, root: Path, digest_of: Callable[[Path], str]) -> None:
        """Keep what is needed.

        Args:
            transfer: to and from the object store.
            bucket: the artifact bucket.
            root: a folder for the copies, made when the first one comes.
            digest_of: reads and verifies a folder and gives the hash of its content; raises AssayError.
        """
        self._transfer = transfer
        self._bucket = bucket
        self._root = root
        self._digest_of = digest_of

    def folder(self, version: str, location: str, digest: str | None = None) -> Path:
        """Return the copy of a bundle, fetched anew where there is none or it was damaged.

        Args:
            version: of the bundle.
            location: its prefix in the bucket.
            digest: what its content must hash to, where it is known; the version holds the beginning of it.

        Raises:
            BundleMissingError: it is not in the bucket, or what is there is another.
            ObjectStoreDownError: the store does not answer.
        """
        copy = self._root / version
        if self._holds(copy, version, digest):
            return copy
        self._root.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=self._root))
        try:
            download_bundle(self._transfer, self._bucket, location, half)
            if not self._holds(half, version, digest):
                raise BundleMissingError(
                    f"s3://{self._bucket}/{location} does not hold bundle {version} as it was registered: "
                    "import it again"
                )
            half.chmod(0o755)
            shutil.rmtree(copy, ignore_errors=True)
            half.replace(copy)
        finally:
            shutil.rmtree(half, ignore_errors=True)
        return copy

    def _holds(self, folder: Path, version: str, digest: str | None) -> bool:
        try:
            actual = self._digest_of(folder)
        except AssayError:
            return False
        # The digest of a bundle is of what its version names; its own claim was compared when it was read.
        return version.endswith(f"-{actual[:12]}") and digest in {None, actual}


def _download(transfer: Transfer, bucket: str, key: str, file: Path) -> None:
    try:
        transfer.download(bucket, key, file, max_bytes=most_bytes(file.name))
    except GoneError as error:
        raise BundleMissingError(error.detail) from error
    except TooLargeError as error:
        raise BundleError(f"s3://{bucket}/{key} is no part of a bundle: {error.detail}") from error


def _key(prefix: str, name: str) -> str:
    return f"{prefix.strip('/')}/{name}".lstrip("/")
