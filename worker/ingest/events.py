"""Reads what object stores say when an object arrives, whatever store said it. Pure.

AWS sends records of version 2.1 to 2.5 with form-encoded keys, alone, inside
SNS envelopes, or as EventBridge events with raw keys; MinIO, its fork and
RustFS send the same records with ``%2F`` in the key; Ceph RGW sends raw keys
and an empty ``versionId``. Test events carry no records.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from worker.objects.versions import clean_etag, clean_version_id, is_name

# Events nest at most SNS-in-SQS deep; anything deeper is somebody playing.
_MAX_ENVELOPES = 3
_FIRST_YEAR = 2000


class UnknownEventError(ValueError):
    """The body is no object-store event that Assay knows."""


@dataclass(frozen=True)
class ObjectCreated:
    """An object arrived, as an event tells it.

    Attributes:
        bucket: name of the bucket.
        keys: candidate keys, the likeliest first; more than one where the
            encoding is in doubt.
        version_id: VersionId, or None where the bucket is not versioned or
            the event does not say.
        etag: ETag without quotes, or None.
        size: bytes, or None.
        told_at: when the store says it arrived, or None; one arrival told twice is still one.
    """

    bucket: str
    keys: tuple[str, ...]
    version_id: str | None = None
    etag: str | None = None
    size: int | None = None
    told_at: datetime | None = field(default=None, compare=False)


def parse_events(body: bytes | str) -> list[ObjectCreated]:
    """Return the objects that an event body says have arrived.

    Args:
        body: JSON as the store sent it, by queue or by webhook.

    Returns:
        One entry for each created object; empty for test events and for
        records of other kinds (removals, restores).

    Raises:
        UnknownEventError: the body is no JSON, or no event of a known shape.
    """
    return _parse(body, _MAX_ENVELOPES)


def _parse(body: bytes | str, envelopes: int) -> list[ObjectCreated]:
    event = _load(body)
    if isinstance(event.get("Records"), list):
        return [created for record in event["Records"] for created in _from_record(record)]
    if event.get("Event") == "s3:TestEvent" or event.get("EventName") == "s3:TestEvent":
        return []
    if isinstance(event.get("Message"), str) and envelopes > 0:  # SNS around S3
        return _parse(event["Message"], envelopes - 1)
    if event.get("source") == "aws.s3":
        return _from_eventbridge(event)
    raise UnknownEventError("the event has neither Records nor an EventBridge detail")


def _load(body: bytes | str) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnknownEventError("the event is not JSON") from error
    if not isinstance(event, dict):
        raise UnknownEventError("the event is not a JSON object")
    return event


def _from_record(record: Any) -> list[ObjectCreated]:
    try:
        name, source = str(record["eventName"]), str(record.get("eventSource", ""))
        if not name.removeprefix("s3:").startswith("ObjectCreated"):
            return []
        bucket, entry = record["s3"]["bucket"]["name"], record["s3"]["object"]
        details = {"version_id": entry.get("versionId"), "etag": entry.get("eTag"), "told_at": record.get("eventTime")}
        return [_created(bucket, entry, _candidates(entry["key"], source), **details)]
    except (KeyError, TypeError, AttributeError) as error:
        raise UnknownEventError(f"a record lacks what names the object: {error!r}") from error


def _from_eventbridge(event: dict[str, Any]) -> list[ObjectCreated]:
    if event.get("detail-type") != "Object Created":
        return []
    try:
        entry = event["detail"]["object"]
        bucket, keys = event["detail"]["bucket"]["name"], (entry["key"],)
        details = {"version_id": entry.get("version-id"), "etag": entry.get("etag"), "told_at": event.get("time")}
        return [_created(bucket, entry, keys, **details)]
    except (KeyError, TypeError, AttributeError) as error:
        raise UnknownEventError(f"the EventBridge detail lacks what names the object: {error!r}") from error


def _created(
    bucket: Any, entry: Any, keys: tuple[Any, ...], *, version_id: object, etag: object, told_at: object
) -> ObjectCreated:
    possible = tuple(key for key in keys if is_name(key))
    if not is_name(bucket) or not possible:
        raise UnknownEventError("bucket and key must be text that can name an object")
    version_id, etag, size = clean_version_id(version_id), clean_etag(etag), _size(entry.get("size"))
    return ObjectCreated(bucket, possible, version_id, etag, size, _time(told_at))


def _size(size: object) -> int | None:
    return size if type(size) is int and 0 <= size < 2**63 else None


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    # A time without a zone, or from before there were object stores, is none.
    return time if time.tzinfo and time.year > _FIRST_YEAR else None


def _candidates(key: str, source: str) -> tuple[str, ...]:
    decoded = unquote_plus(key)
    # Ceph RGW sends the key as it is; everyone else form-encodes it.
    ordered = (key, decoded) if source.startswith("ceph") else (decoded, key)
    return tuple(dict.fromkeys(ordered))
