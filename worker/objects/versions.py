"""What names an object's state, and how a store's answers spell it: VersionId, ETag, metadata. Pure."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Any, TypeGuard

# What S3 allows a key or a VersionId at most, in bytes of UTF-8.
_MAX_NAME_BYTES = 1024
# What every header carries unchanged.
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


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


def is_name(text: object) -> TypeGuard[str]:
    """Tell whether this can name an object or its state: text that S3 allows and PostgreSQL can hold."""
    if not isinstance(text, str) or not text or "\x00" in text:
        return False
    try:
        return len(text.encode()) <= _MAX_NAME_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def clean_version_id(version_id: object) -> str | None:
    """Return a real VersionId; missing, empty and ``"null"`` all mean there is none."""
    return version_id if is_name(version_id) and version_id != "null" else None


def clean_etag(etag: object) -> str | None:
    """Return an ETag without the quotes that HTTP puts around it."""
    bare = etag.strip('"') if isinstance(etag, str) else None
    return bare if is_name(bare) else None


def read_version(answer: Mapping[str, Any]) -> ObjectVersion:
    """Return the version that an answer of the store names."""
    return ObjectVersion(clean_version_id(answer.get("VersionId")), clean_etag(answer.get("ETag")) or "")


def read_head(answer: Mapping[str, Any]) -> ObjectHead:
    """Return what an answer to a HEAD says of its object."""
    # MinIO writes the names in capitals. Postgres holds no NUL, and no id of a platform has one.
    metadata = {name.lower(): _decode_words(value).replace("\x00", "") for name, value in answer["Metadata"].items()}
    return ObjectHead(read_version(answer), answer["ContentLength"], metadata, _stored_at(answer))


def read_listed(entry: Mapping[str, Any]) -> ListedObject:
    """Return the object that an entry of a listing names."""
    return ListedObject(entry["Key"], read_version(entry), entry["LastModified"].replace(microsecond=0))


def encode_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata as it travels: what a header cannot hold as it is, is encoded by RFC 2047, as S3 does."""
    return {name: _encode_words(value) for name, value in metadata.items()}


def _encode_words(value: str) -> str:
    if _PLAIN.fullmatch(value) and "=?" not in value and "  " not in value:
        return value
    return f"=?UTF-8?B?{b64encode(value.encode()).decode()}?="


def _decode_words(value: str) -> str:
    """Return the text behind RFC 2047's encoded words; what holds none, a percent sign included, stays as it is."""
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, ValueError):
        return value


def _stored_at(answer: Mapping[str, Any]) -> datetime | None:
    # Whole seconds everywhere: a HEAD has no others, so a listing that has must not look newer.
    modified = answer.get("LastModified")
    return modified.replace(microsecond=0) if isinstance(modified, datetime) else None
