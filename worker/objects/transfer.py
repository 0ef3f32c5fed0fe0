"""Files to and from the object store: bundles, checkpoints, papers of a run; and deletion of objects and prefixes."""

import mimetypes
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from worker.errors import TooLargeError
from worker.objects.clients import look, s3_client
from worker.objects.trouble import STORE_ERRORS, ObjectStoreDownError, explain, name_trouble, translate
from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_ANY_BYTES = "application/octet-stream"


class Transfer:
    """Moves whole files; safe for many threads. Every method raises RefusedError or ObjectStoreDownError."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def upload(self, file: Path, bucket: str, key: str) -> None:
        """Write a file to an object; its content type is told by the key's suffix."""
        with file.open("rb") as stream:
            self.upload_stream(stream, bucket, key)

    def upload_stream(self, stream: BinaryIO, bucket: str, key: str) -> None:
        """Write what an open file holds to an object, as :meth:`upload`."""
        kind = mimetypes.guess_type(key)[0] or _ANY_BYTES
        with name_trouble(_place(bucket, key), may_be_gone=False):
            self._client.upload_fileobj(stream, bucket, key, ExtraArgs={"ContentType": kind})

    def download(self, bucket: str, key: str, file: Path, *, max_bytes: int | None = None) -> None:
        """Write an object to a file, in one move once all of it is here.

        Raises:
            GoneError: there is no such object.
            TooLargeError: it has more than ``max_bytes``; nothing of it is read.
        """
        place = _place(bucket, key)
        try:
            if max_bytes is not None:
                size = self._client.head_object(Bucket=bucket, Key=key)["ContentLength"]
                if size > max_bytes:
                    raise TooLargeError(f"it has {size:,} bytes, the limit is {max_bytes:,}")
            self._client.download_file(bucket, key, str(file))
        except STORE_ERRORS as error:
            raise translate(explain(error, partial(look, self._client, bucket, key, {})), place) from error

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object with all its versions; no error if there is none."""
        self._delete(bucket, key, whole_prefix=False)

    def delete_prefix(self, bucket: str, prefix: str) -> None:
        """Delete every object below a prefix with all versions; no error if there is none."""
        self._delete(bucket, prefix, whole_prefix=True)

    def _delete(self, bucket: str, key: str, *, whole_prefix: bool) -> None:
        with name_trouble(_place(bucket, key), may_be_gone=False):
            for page in self._versions(bucket, key):
                objects = [version for version in page if whole_prefix or version["Key"] == key]
                if not objects:
                    continue
                answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
                if answer.get("Errors"):
                    raise ObjectStoreDownError(f"some objects below {_place(bucket, key)} were not deleted")

    def _versions(self, bucket: str, prefix: str) -> Iterator[list[Any]]:
        """Yield all versions under a prefix, delete markers too, so that nothing can be brought back."""
        for page in self._client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            yield [_named(version) for version in (*page.get("Versions", []), *page.get("DeleteMarkers", []))]


def transfer(settings: Settings) -> Transfer:
    """Return what moves files to and from the object store that the settings name."""
    return Transfer(s3_client(settings))


def _named(version: Any) -> dict[str, str]:
    version_id = version.get("VersionId")
    return {"Key": version["Key"]} | ({"VersionId": version_id} if version_id and version_id != "null" else {})


def _place(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"
