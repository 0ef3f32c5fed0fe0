"""The edge to the object store: everything Assay reads from it or writes to it in one piece."""

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from worker.errors import TooLargeError
from worker.objects.clients import look, s3_client
from worker.objects.quick import QuickRequests
from worker.objects.trouble import (
    STORE_ERRORS,
    Meaning,
    ObjectStoreDownError,
    code_of,
    explain,
    meaning_of,
    name_trouble,
    translate,
)
from worker.objects.versions import (
    ListedObject,
    ObjectHead,
    ObjectVersion,
    encode_metadata,
    read_head,
    read_listed,
    read_version,
)
from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

# A whole fetch ends well within a worker's lease: answer and body by this time, or one read (8 s) later.
_FETCH_SECONDS = 25.0
_CHUNK = 1024 * 1024


class ObjectStore:
    """An S3-compatible store; safe for many threads."""

    def __init__(
        self,
        client: "S3Client",
        public_client: "S3Client | None" = None,
        *,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Keep the clients; ``public_client`` only signs addresses that browsers will ask."""
        self._client = client
        self._quick = QuickRequests(client)
        self._monotonic = monotonic
        self._public_client = public_client or client

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectHead | None:
        """Return what is known of an object, or None where there is none.

        Raises:
            RefusedError: the store will not say. AWS answers so as well for
                what is not there, to those who may not list the bucket.
            ObjectStoreDownError: the store does not answer, or does not know our credentials.
        """
        pin = {"VersionId": version_id} if version_id else {}
        try:
            answer: Any = self._quick("HEAD", bucket, key, pin)
            if answer is None:
                answer = self._client.head_object(Bucket=bucket, Key=key, **pin)  # type: ignore[arg-type]
        except STORE_ERRORS as error:
            explained = explain(error, partial(look, self._client, bucket, key, pin))
            if meaning_of(explained) is Meaning.GONE or code_of(explained) == "KeyTooLongError":
                return None
            raise translate(explained, f"{bucket}/{key}") from error
        return read_head(answer)

    def fetch(self, bucket: str, key: str, version: str, *, versioned: bool, max_bytes: int) -> bytes:
        """Return the bytes of exactly this version of an object.

        Raises:
            GoneError: this version is not there any more.
            TooLargeError: more than ``max_bytes``; no more than that is read.
            RefusedError: the store refuses this object.
            ObjectStoreDownError: the store does not answer, or not in time.
        """
        pin = {"VersionId": version} if versioned else {"IfMatch": f'"{version}"'}
        return self._get(bucket, key, pin, max_bytes)

    def read(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return the bytes of an object as it is now: what we wrote ourselves. Raises as :meth:`fetch`."""
        return self._get(bucket, key, {}, max_bytes)

    def _get(self, bucket: str, key: str, pin: Mapping[str, str], max_bytes: int) -> bytes:
        deadline = self._monotonic() + _FETCH_SECONDS
        with name_trouble(f"{bucket}/{key} at {dict(pin) or 'any version'}"):
            answer: Any = self._quick("GET", bucket, key, pin)
            if answer is None:
                answer = self._client.get_object(Bucket=bucket, Key=key, **pin)  # type: ignore[arg-type]
            with closing(answer["Body"]) as body:
                size = answer["ContentLength"]
                if size > max_bytes:
                    raise TooLargeError(f"{size} bytes, the limit is {max_bytes}")
                return self._read(body, size, deadline)

    def _read(self, body: Any, size: int, deadline: float) -> bytes:
        read = io.BytesIO()
        # Entering a StreamingBody gives the raw stream, which alone hands out what has come without waiting for more.
        with body as raw:
            while chunk := raw.read1(_CHUNK):
                read.write(chunk)
                if self._monotonic() > deadline:
                    raise ObjectStoreDownError(f"only {read.tell()} of {size} bytes came in {_FETCH_SECONDS} s")
        if read.tell() != size:
            raise ObjectStoreDownError(f"the connection broke off after {read.tell()} of {size} bytes")
        return read.getvalue()

    def put(
        self, bucket: str, key: str, body: bytes, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> ObjectVersion:
        """Write an object; metadata values may be any text, they travel percent-encoded.

        Raises:
            RefusedError: the store refuses to keep it.
            ObjectStoreDownError: the store does not answer.
        """
        sent = encode_metadata(metadata or {})
        with name_trouble(f"{bucket}/{key}", may_be_gone=False):
            answer: Any = None if sent else self._quick("PUT", bucket, key, {"ContentType": content_type}, body=body)
            if answer is None:
                answer = self._client.put_object(
                    Bucket=bucket, Key=key, Body=body, ContentType=content_type, Metadata=sent
                )
        return read_version(answer)

    def presigned_url(self, bucket: str, key: str, seconds: int) -> str:
        """Return an address that reads one object for so many seconds, without credentials."""
        return self._public_client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
        )

    def reachable(self, bucket: str) -> bool:
        """Tell whether a bucket answers."""
        try:
            self._client.head_bucket(Bucket=bucket)
        except STORE_ERRORS:
            return False
        return True

    def versioned(self, bucket: str) -> bool:
        """Tell whether a bucket keeps versions now."""
        with name_trouble(bucket, may_be_gone=False):
            return self._client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"

    def pages(self, bucket: str) -> Iterator[list[ListedObject]]:
        """Yield the objects of a bucket, versions included where it keeps them, up to 1,000 at a time."""
        operation, entries = "list_objects_v2", "Contents"
        if self.versioned(bucket):
            operation, entries = "list_object_versions", "Versions"
        client: Any = self._client
        with name_trouble(bucket, may_be_gone=False):
            for page in client.get_paginator(operation).paginate(Bucket=bucket):
                yield [read_listed(entry) for entry in page.get(entries, [])]


def object_store(settings: Settings) -> ObjectStore:
    """Return the object store that the settings name."""
    public = settings.s3_public_endpoint_url
    return ObjectStore(s3_client(settings), s3_client(settings, public) if public else None)
