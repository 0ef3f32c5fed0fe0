"""Deletes from the object store what was doomed: every version of an object, or all that lies under a prefix."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from worker.database.pending_deletions import Doomed
from worker.database.tables import DoomedObject
from worker.log import get_logger
from worker.objects.object_store import ObjectStoreDownError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = get_logger()

_AT_ONCE = 100


class DeleteObjects:
    """Deletes what is due. What the store refuses comes due again in a minute, and is logged each time."""

    def __init__(self, doomed: Doomed, client: "S3Client") -> None:
        self._doomed = doomed
        self._client = client

    def __call__(self) -> int:
        """Delete what is due now; return how many entries are done."""
        done = 0
        while taken := self._doomed.take(_AT_ONCE):
            for entry in taken:
                try:
                    self._delete(entry)
                except (ClientError, BotoCoreError, ObjectStoreDownError) as error:
                    log.warning("object_not_deleted", bucket=entry.bucket, error=type(error).__name__)
                    continue
                self._doomed.forget(entry.id)
                done += 1
        return done

    def _delete(self, entry: DoomedObject) -> None:
        for page in self._pages(entry.bucket, entry.key):
            objects = [found for found in page if entry.prefix or found["Key"] == entry.key]
            if not objects:
                continue
            answer = self._client.delete_objects(Bucket=entry.bucket, Delete={"Objects": objects, "Quiet": True})
            if answer.get("Errors"):
                raise ObjectStoreDownError("some objects were not deleted")

    def _pages(self, bucket: str, prefix: str) -> Iterator[list[Any]]:
        """Yield all versions under a prefix, delete markers too, so that nothing can be brought back."""
        for page in self._client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            found: list[Any] = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            yield [_named(one) for one in found]


def _named(found: Any) -> dict[str, str]:
    version = found.get("VersionId")
    return {"Key": found["Key"]} | ({"VersionId": version} if version and version != "null" else {})
