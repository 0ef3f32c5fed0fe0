"""An object store in memory, with the contract of the real one."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from worker.errors import GoneError, TooLargeError
from worker.objects.versions import ObjectHead, ObjectVersion


@dataclass(frozen=True)
class StoredObject:
    """An object version as :class:`FakeObjects` keeps it."""

    version: ObjectVersion
    body: bytes
    metadata: Mapping[str, str]


class FakeObjects:
    """An object store in memory: keeps versions in the buckets it is told to; raises ``trouble`` when it is set."""

    def __init__(self, *, versioned: Iterable[str] = ()) -> None:
        self.trouble: Exception | None = None
        self._versioned = frozenset(versioned)
        self._kept: dict[tuple[str, str], list[StoredObject]] = {}

    def put(
        self, bucket: str, key: str, body: bytes, content_type: str = "", metadata: Mapping[str, str] | None = None
    ) -> ObjectVersion:
        """Write an object."""
        del content_type
        self._check()
        version_id = uuid4().hex if bucket in self._versioned else None
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        stored = StoredObject(ObjectVersion(version_id, etag), body, dict(metadata or {}))
        versions = self._kept.setdefault((bucket, key), [])
        if bucket not in self._versioned:
            versions.clear()
        versions.append(stored)
        return stored.version

    def remove(self, bucket: str, key: str) -> None:
        """Remove an object with all its versions."""
        del self._kept[bucket, key]

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectHead | None:
        """Return what is known of an object, or None where there is none."""
        self._check()
        for stored in reversed(self._kept.get((bucket, key), [])):
            if version_id in {None, stored.version.version_id}:
                return ObjectHead(stored.version, len(stored.body), stored.metadata)
        return None

    def fetch(self, bucket: str, key: str, version: str, *, versioned: bool, max_bytes: int) -> bytes:
        """Return the bytes of one version; raises GoneError or TooLargeError."""
        self._check()
        kept = self._kept.get((bucket, key), [])
        for stored in kept if versioned else kept[-1:]:
            if version == (stored.version.version_id if versioned else stored.version.etag):
                if len(stored.body) > max_bytes:
                    raise TooLargeError
                return stored.body
        raise GoneError

    def read(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return what an object holds now; raises GoneError or TooLargeError."""
        self._check()
        kept = self._kept.get((bucket, key))
        if not kept:
            raise GoneError
        if len(kept[-1].body) > max_bytes:
            raise TooLargeError
        return kept[-1].body

    def keys(self, bucket: str) -> list[str]:
        """Return the keys of a bucket, sorted."""
        return sorted(key for kept_in, key in self._kept if kept_in == bucket)

    def _check(self) -> None:
        if self.trouble:
            raise self.trouble
