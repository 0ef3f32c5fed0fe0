"""Checkpoints of a run: on the training worker's disk, with copies in the artifact bucket.

The disk is fast enough to write to every minute and survives the process; the copy lets another machine go on where
this one was lost. Whichever was written later counts.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from worker.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3.client import S3Client

log = get_logger()

_NAMES = ("checkpoint.safetensors", "best.safetensors", "order.json")
_INDEX = "checkpoints.json"
_TROUBLE = (Boto3Error, BotoCoreError, ClientError, OSError)


class Checkpoints:
    """One run's checkpoints, copied to the bucket and back; trouble with the store is logged and never ends a run."""

    def __init__(self, client: S3Client, bucket: str, run_id: int, folder: Path) -> None:
        """Keep what is needed; ``folder`` is the run's own, with a folder for each detector below ``out``."""
        self._client = client
        self._bucket = bucket
        self._prefix = f"training-runs/{run_id}/"
        self._out = folder / "out"
        self._copied: dict[str, int] = {}
        self._left = False

    def bring(self) -> int:
        """Fetch what the bucket has and the disk lacks, or has an older one of; return how many files."""
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + _INDEX)["Body"].read()
            index: dict[str, int] = json.loads(body)
            brought = [name for name, written in index.items() if self._fetch(name, written)]
        except _TROUBLE as error:
            if not (isinstance(error, ClientError) and error.response["Error"]["Code"] in {"404", "NoSuchKey"}):
                log.warning("checkpoints_not_brought", error=str(error))
            return 0
        self._copied.update(index)
        return len(brought)

    def copy(self) -> int:
        """Copy what was written since the last time, the index last; return how many files."""
        if self._left:
            return 0
        changed = {name: written for name, written in self._files() if self._copied.get(name) != written}
        try:
            for name in changed:
                self._client.upload_file(str(self._out / name), self._bucket, self._prefix + name)
            if changed:
                index = json.dumps(self._copied | changed).encode()
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + _INDEX, Body=index)
        except _TROUBLE as error:
            log.warning("checkpoints_not_copied", error=str(error))
            return 0
        self._copied |= changed
        return len(changed)

    def keep_copying(self, every_seconds: float, stop: threading.Event) -> threading.Thread:
        """Copy every so often, in a thread of its own, until ``stop`` is set; then once more."""

        def run() -> None:
            while not stop.wait(every_seconds):
                self.copy()
            self.copy()

        thread = threading.Thread(target=run, name="checkpoints", daemon=True)
        thread.start()
        return thread

    def leave(self) -> None:
        """Copy nothing any more: whoever holds the run now writes there."""
        self._left = True

    def drop(self) -> None:
        """Delete the copies; the run has ended."""
        try:
            listed = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix).get("Contents", [])
            for found in listed:
                self._client.delete_object(Bucket=self._bucket, Key=found["Key"])
        except _TROUBLE as error:
            log.warning("checkpoints_not_dropped", error=str(error))

    def _files(self) -> Iterator[tuple[str, int]]:
        for file in sorted(self._out.glob("*/*")):
            if file.name in _NAMES:
                yield file.relative_to(self._out).as_posix(), file.stat().st_mtime_ns

    def _fetch(self, name: str, written: int) -> bool:
        file = self._out / name
        inside = file.resolve().is_relative_to(self._out.resolve()) and file.name in _NAMES
        if not inside or (file.exists() and file.stat().st_mtime_ns >= written):
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".brought")
        self._client.download_file(self._bucket, self._prefix + name, str(half))
        half.replace(file)
        return True
