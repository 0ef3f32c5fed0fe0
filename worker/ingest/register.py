"""Turns "an object arrived" into an image row and a live scan, committed before anyone is told.

The same step serves all ways in: the SQS listener, the webhook route, the
sweep and uploads through the API. Doing it twice changes nothing.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.database.images import NewImage, insert_images_and_scans
from worker.database.session import Database
from worker.ingest.events import ObjectCreated
from worker.log import get_logger
from worker.objects.object_store import ObjectStore
from worker.objects.trouble import ObjectStoreDownError, RefusedError
from worker.objects.versions import ObjectHead, ObjectVersion, is_name

log = get_logger()

# Stands for the version of an object that vanished before anything could name it.
VANISHED = "vanished"
# Questions to the store beside each other, for one request of many records.
_ASKED_AT_ONCE = 8


@dataclass(frozen=True)
class Registration:
    """An image and its live scan, as they are in the database."""

    image_pk: int
    image_id: str
    scan_id: int
    version: str
    key: str
    source: str
    created: bool


@dataclass(frozen=True)
class Intake:
    """What became of many events.

    Attributes:
        registered: images that are in the database now.
        refused: how many are no images of ours, or were erased.
        missing: how many name a state that the store does not have.
    """

    registered: Sequence[Registration]
    refused: int
    missing: int


class Register:
    """Registers arrived objects; refuses buckets that are not for uploads."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        *,
        upload_buckets: Collection[str],
        artifact_bucket: str,
        image_id_pattern: str | None = None,
    ) -> None:
        self._database = database
        self._objects = objects
        self._buckets = frozenset(upload_buckets) - {artifact_bucket}
        self._pattern = re.compile(image_id_pattern) if image_id_pattern else None

    def __call__(self, created: ObjectCreated) -> Registration | None:
        """Register one object and commit.

        Returns:
            What was registered, or None for a bucket that is refused, an empty object that stands for a folder, an id
            that cannot be one, and an image that was erased.

        Raises:
            TransientError: database or object store out of reach; nothing was
                committed, the event must come again.
        """
        (registered,) = self.together([created], map)
        note_new(registered)
        return registered

    def together(
        self, events: Sequence[ObjectCreated], each: Callable[..., Iterable[Any]]
    ) -> list[Registration | None]:
        """Register objects and commit once: all of them, or none where it raises. Nothing is logged of new ones.

        Args:
            events: any number.
            each: asks the store for them, as ``map`` does, or several at a time as that of an executor.

        Returns:
            What became of each, as for one.

        Raises:
            TransientError: as for one.
        """
        images: list[NewImage | None] = list(each(self._look, events))
        registered = iter(self._insert([image for image in images if image is not None]))
        return [None if image is None else next(registered) for image in images]

    def take_many(self, events: Sequence[ObjectCreated]) -> Intake:
        """Register many objects at once, those alone that the store has, and commit.

        An event can be made up, so a row is made for none that the store does not show. A store that refuses to say
        is no reason to drop one.

        Raises:
            TransientError: as for one; nothing was committed.
        """
        ours = [created for created in events if created.bucket in self._buckets]
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as threads:
            heads = zip(ours, threads.map(self._find, ours), strict=True)
        there = [(created, key, head) for created, (key, head, certain) in heads if head or not certain]
        images = [image for image in (self._image_of(*one) for one in there) if image is not None]
        registered = list(filter(None, self._insert(images)))
        note_new(*registered)
        missing = len(ours) - len(there)
        return Intake(registered, refused=len(events) - missing - len(registered), missing=missing)

    def _insert(self, images: Sequence[NewImage]) -> list[Registration | None]:
        """Insert images at once; None for those that were erased."""
        if not images:
            return []
        with self._database.transaction() as session:
            rows = insert_images_and_scans(session, images)
        return [row and _registered(image, row) for image, row in zip(images, rows, strict=True)]

    def _look(self, created: ObjectCreated) -> NewImage | None:
        """Ask the store for an object; None for what is no image of ours."""
        key, head, _ = self._find(created) if created.bucket in self._buckets else ("", None, True)
        return self._image_of(created, key, head)

    def _image_of(self, created: ObjectCreated, key: str, head: ObjectHead | None) -> NewImage | None:
        """Return the image that an object is; None for what is no image of ours."""
        if created.bucket not in self._buckets:
            return None
        if key.endswith("/") and not (head.size if head else created.size):
            return None  # a folder, as consoles make them
        image_id = image_id_for(key, head, self._pattern)
        if (why := why_no_id(image_id)) is not None:
            log.warning("object_refused", bucket=created.bucket, key=key, reason=why)
            return None
        return _new_image(image_id, created, key, head)

    def _find(self, created: ObjectCreated) -> tuple[str, ObjectHead | None, bool]:
        """Return the key that exists, what is known of exactly the state that the event tells of, and if that is sure.

        A store that knows our credentials but refuses every key may mean
        "not there" (AWS, where the bucket may not be listed), so the event is
        believed where it names the state; where it does not, it comes again.
        """
        refused: RefusedError | None = None
        for key in created.keys:
            try:
                head = self._objects.head(created.bucket, key, created.version_id)
            except RefusedError as error:
                refused = error
                continue
            if head and (created.version_id or created.etag in {None, head.version.etag}):
                return key, head, True
        if refused and not (created.version_id or created.etag):
            raise ObjectStoreDownError(refused.detail)
        return created.keys[0], None, refused is None


def _registered(image: NewImage, row: tuple[int, int, bool]) -> Registration:
    image_pk, scan_id, new = row
    return Registration(image_pk, image.image_id, scan_id, image.version, image.key, image.source, new)


def note_new(*registered: Registration | None) -> None:
    """Log images that were not known; here the id of request or message meets that of the scan, as workers log it."""
    for one in registered:
        if one is not None and one.created:
            log.info("image_registered", image=one.image_pk, scan_id=one.scan_id, source=one.source)


def _new_image(image_id: str, created: ObjectCreated, key: str, head: ObjectHead | None) -> NewImage:
    return NewImage(
        image_id=image_id,
        source=source_for(created.bucket, key, head),
        bucket=created.bucket,
        key=key,
        version=version_of(created, head),
        versioned=bool(created.version_id or (head and head.version.version_id)),
        size_bytes=head.size if head else created.size,
        stored_at=stored_at_of(created, head),
        confirmed=head is not None,
    )


def version_of(created: ObjectCreated, head: ObjectHead | None) -> str:
    """Return what names this state of the object, never empty, so that events and sweep agree.

    The event's VersionId wins; an event that only has an ETag takes the
    VersionId of the object found in that state.
    """
    stored = head.version if head else ObjectVersion(None, created.etag or "")
    return created.version_id or stored.version_id or stored.etag or VANISHED


def stored_at_of(created: ObjectCreated, head: ObjectHead | None) -> datetime | None:
    """Return when the store took this state in, or None where nobody can tell.

    A state that is not there any more goes before whatever replaced it within
    the same second; stores tell no finer.
    """
    if head:
        return head.stored_at
    return created.told_at and created.told_at.replace(microsecond=0) - timedelta(seconds=1)


def image_id_for(key: str, head: ObjectHead | None, pattern: re.Pattern[str] | None) -> str:
    """Return the platform's own id: object metadata ``image-id``, else the pattern on the key, else the key."""
    name = head.metadata.get("image-id") if head else None
    if is_name(name):
        return name
    match = pattern.search(key) if pattern else None
    if match and match.re.groups:
        named = match.groupdict().get("image_id") or match.group(1)
        return named or key
    return key


def source_for(bucket: str, key: str, head: ObjectHead | None) -> str:
    """Return where on the platform an image comes from: metadata ``source``, else bucket and the key's first folder."""
    name = head.metadata.get("source") if head else None
    if is_name(name):
        return name
    folder, slash, _ = key.partition("/")
    return f"{bucket}/{folder}" if slash and folder else bucket


def why_no_id(image_id: str) -> str | None:
    """Return why a text cannot be an image's id, None where it can: no header or path would carry it."""
    if image_id in {".", ".."}:
        return "an id of dots alone names no image in an address"
    if any(unicodedata.category(character) == "Cc" for character in image_id):
        return "an id must not hold line breaks or other control characters"
    return None
