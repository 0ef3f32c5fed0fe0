"""The edge to the object store: everything Assay reads from it or writes to it."""

import io
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from urllib3.exceptions import HTTPError

from worker.errors import AssayError, GoneError, TooLargeError, TransientError
from worker.ingest.events import clean_etag, clean_version_id
from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_GONE = {"404", "NoSuchKey", "NoSuchVersion", "NotFound", "PreconditionFailed", "412", "MethodNotAllowed", "405"}
# Refusals that have nothing to do with the object: our credentials, our pace, our bucket.
_OUTAGES = {
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "NoSuchBucket",
}
_BAD_REQUEST, _TOO_MANY_REQUESTS, _SERVER_ERROR = 400, 429, 500
# A whole fetch ends well within a worker's lease: answer and body by this time, or one read (8 s) later.
_FETCH_SECONDS = 25.0
_CHUNK = 1024 * 1024
_USER_INFO = re.compile(r"://[^/\s\"']*@")


class ObjectStoreDownError(TransientError):
    """The object store does not answer; check ASSAY_S3_ENDPOINT_URL and its keys."""


class RefusedError(AssayError):
    """The object store refuses this object; check permissions, its encryption key and its storage class."""


@dataclass(frozen=True)
class ObjectVersion:
    """What names one state of an object: its VersionId where versioned, and its ETag."""

    version_id: str | None
    etag: str


@dataclass(frozen=True)
class ObjectHead:
    """What the store knows of an object without its bytes."""

    version: ObjectVersion
    size: int
    metadata: Mapping[str, str]
    stored_at: datetime | None = None


@dataclass(frozen=True)
class ListedObject:
    """One object version as a listing gives it."""

    key: str
    version: ObjectVersion
    stored_at: datetime


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
            answer: Any = self._client.head_object(Bucket=bucket, Key=key, **pin)  # type: ignore[arg-type]
        except ClientError as error:
            refused = self._spelt_out(error, bucket, key, pin)
            if refused is None:
                return None
            raise refused from error
        except BotoCoreError as error:
            raise store_down(error) from error
        # MinIO writes the names in capitals. Postgres holds no NUL, and no id of a platform has one.
        metadata = {name.lower(): unquote(value).replace("\x00", "") for name, value in answer["Metadata"].items()}
        return ObjectHead(_version(answer), answer["ContentLength"], metadata, _stored_at(answer))

    def _spelt_out(self, error: ClientError, bucket: str, key: str, pin: Mapping[str, str]) -> AssayError | None:
        """Return what a failed HEAD means, None where the object is not there.

        The answer to a HEAD has no body, so 400 and 403 may be anything; a GET of one byte names the reason.
        """
        if _code(error) in {"400", "403", "Forbidden"}:
            try:
                self._client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0", **pin)["Body"].close()  # type: ignore[arg-type]
            except ClientError as named:
                error = named
            except BotoCoreError as down:
                return store_down(down)
        return None if _code(error) in _GONE | {"KeyTooLongError"} else _trouble(error)

    def fetch(self, bucket: str, key: str, version: str, *, versioned: bool, max_bytes: int) -> bytes:
        """Return the bytes of exactly this version of an object.

        Raises:
            GoneError: this version is not there any more.
            TooLargeError: more than ``max_bytes``; no more than that is read.
            RefusedError: the store refuses this object.
            ObjectStoreDownError: the store does not answer, or not in time.
        """
        pin = {"VersionId": version} if versioned else {"IfMatch": f'"{version}"'}
        return self._got(bucket, key, pin, max_bytes)

    def read(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return the bytes of an object as it is now: what we wrote ourselves. Raises as :meth:`fetch`."""
        return self._got(bucket, key, {}, max_bytes)

    def _got(self, bucket: str, key: str, pin: Mapping[str, str], max_bytes: int) -> bytes:
        deadline = self._monotonic() + _FETCH_SECONDS
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key, **pin)  # type: ignore[arg-type]
            with closing(answer["Body"]) as body:
                size = answer["ContentLength"]
                if size > max_bytes:
                    raise TooLargeError(f"{size} bytes, the limit is {max_bytes}")
                return self._read(body, size, deadline)
        except ClientError as error:
            if _code(error) in _GONE:
                raise GoneError(f"{bucket}/{key} at {dict(pin) or 'any version'}: {_code(error)}") from error
            raise _trouble(error) from error
        except (BotoCoreError, HTTPError) as error:
            raise store_down(error) from error

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
        sent = {name: quote(value) for name, value in (metadata or {}).items()}
        try:
            answer = self._client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type, Metadata=sent)
        except ClientError as error:
            raise _trouble(error) from error
        except BotoCoreError as error:
            raise store_down(error) from error
        return _version(answer)

    def presigned_url(self, bucket: str, key: str, seconds: int) -> str:
        """Return an address that reads one object for so many seconds, without credentials."""
        return self._public_client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
        )

    def reachable(self, bucket: str) -> bool:
        """Tell whether a bucket answers."""
        try:
            self._client.head_bucket(Bucket=bucket)
        except (ClientError, BotoCoreError):
            return False
        return True

    def versioned(self, bucket: str) -> bool:
        """Tell whether a bucket keeps versions now."""
        try:
            return self._client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
        except (ClientError, BotoCoreError) as error:
            raise store_down(error) from error

    def pages(self, bucket: str) -> Iterator[list[ListedObject]]:
        """Yield the objects of a bucket, versions included where it keeps them, up to 1,000 at a time."""
        try:
            if self.versioned(bucket):
                for page in self._client.get_paginator("list_object_versions").paginate(Bucket=bucket):
                    yield [_listed(found) for found in page.get("Versions", [])]
            else:
                for listing in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                    yield [_listed(found) for found in listing.get("Contents", [])]
        except (ClientError, BotoCoreError) as error:
            raise store_down(error) from error


def object_store(settings: Settings) -> ObjectStore:
    """Return the object store that the settings name."""
    public = settings.s3_public_endpoint_url
    return ObjectStore(s3_client(settings), s3_client(settings, public) if public else None)


def s3_client(settings: Settings, endpoint_url: str | None = None) -> "S3Client":
    """Return an S3 client for the settings, or for another address of the same store.

    Its time-outs are short enough for a worker's lease.
    """
    arguments = client_arguments(settings, endpoint_url or settings.s3_endpoint_url)
    # boto3 would presign with version 2 in us-east-1, which newer buckets refuse.
    arguments["config"] = arguments["config"].merge(Config(signature_version="s3v4"))
    return boto3.client("s3", **arguments)


def client_arguments(settings: Settings, endpoint_url: str | None) -> dict[str, Any]:
    """Return what S3 and SQS clients have in common: address, credentials, time-outs."""
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    return {
        "endpoint_url": endpoint_url,
        "region_name": settings.s3_region,
        "aws_access_key_id": key.get_secret_value() if key else None,
        "aws_secret_access_key": secret.get_secret_value() if secret else None,
        "config": Config(
            connect_timeout=3,
            read_timeout=8,
            retries={"mode": "standard", "total_max_attempts": 2},
            max_pool_connections=64,
            # Stores addressed by host and port have no wildcard names for buckets.
            s3={"addressing_style": "path" if endpoint_url else "auto"},
        ),
    }


def _version(answer: Any) -> ObjectVersion:
    return ObjectVersion(clean_version_id(answer.get("VersionId")), clean_etag(answer.get("ETag")) or "")


def _listed(found: Any) -> ListedObject:
    return ListedObject(found["Key"], _version(found), found["LastModified"].replace(microsecond=0))


def _stored_at(answer: Any) -> datetime | None:
    # Whole seconds everywhere: a HEAD has no others, so a listing that has must not look newer.
    told = answer.get("LastModified")
    return told.replace(microsecond=0) if isinstance(told, datetime) else None


def _trouble(error: ClientError) -> AssayError:
    """Tell an outage, which ends by itself or by an operator's hand, from the refusal of one object."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _SERVER_ERROR)
    if _BAD_REQUEST <= status < _SERVER_ERROR and status != _TOO_MANY_REQUESTS and _code(error) not in _OUTAGES:
        return RefusedError(str(error))
    return store_down(error)


def store_down(error: Exception) -> ObjectStoreDownError:
    """Say that the store does not answer as its library says it, without what an address holds of user and password."""
    said = _USER_INFO.sub("://", str(error))
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        said += ": set ASSAY_S3_ACCESS_KEY_ID and ASSAY_S3_SECRET_ACCESS_KEY"
    return ObjectStoreDownError(said)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
