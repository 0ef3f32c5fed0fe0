"""Images as they arrive: an upsert that makes the live scan with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import DateTime, false, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.tables import Image, Scan, ScanKind, ScanState
from worker.errors import AssayError, Reason

LIVE_QUEUE = "scan.live"
BULK_QUEUE = "scan.bulk"
# What an erased image has for a version.
ERASED = "erased"


class ErasedImageError(AssayError):
    """This image was erased; it is not taken in again."""


@dataclass(frozen=True)
class NewImage:
    """An object version about to be known; fields as in :class:`~worker.database.tables.Image`.

    ``stored_at`` is None where nobody can tell; the row then says when it was made. It counts as now where it lies in
    the future. ``confirmed`` is False where an event alone names the state and the store does not show it.
    """

    image_id: str
    source: str
    bucket: str
    key: str
    version: str
    versioned: bool
    size_bytes: int | None
    stored_at: datetime | None = None
    confirmed: bool = True


def insert_image_and_scan(session: Session, image: NewImage, queue: str = LIVE_QUEUE) -> tuple[int, int, bool]:
    """Make the image row and its one live scan unless they exist.

    A state that was stored again (the same bytes after others, or a deleted
    object that is back) becomes the newest again, and its scan is queued again if
    it ended because the object was gone. Only what the store shows does that: an event can be made up.

    Returns:
        Primary keys of image and scan, and whether the scan is new.

    Raises:
        ErasedImageError: the image was erased.
    """
    stored_at = func.least(func.coalesce(literal(image.stored_at, DateTime(timezone=True)), func.now()), func.now())
    values = {**vars(image), "stored_at": stored_at}
    tomb = select(Image.id).filter_by(bucket=image.bucket, key=_tomb(image), version=ERASED)
    insert = upsert(Image).from_select(list(values), select(*_literals(values)).where(~tomb.exists()))
    later = false() if image.stored_at is None else Image.stored_at < insert.excluded.stored_at
    came_again = later | ~Image.confirmed
    statement = insert.on_conflict_do_update(
        constraint="uq_image_bucket_key_version",
        set_={"stored_at": insert.excluded.stored_at, "confirmed": True},
        where=Image.erased_at.is_(None) & insert.excluded.confirmed & came_again,
    )
    image_pk = session.scalar(statement.returning(Image.id))
    if image_pk is None:
        known_image = select(Image.id).filter_by(bucket=image.bucket, key=image.key, version=image.version)
        image_pk = session.scalar(known_image)
        if image_pk is None:
            raise ErasedImageError
    else:
        _queue_what_was_gone(session, image_pk)
    scan = (
        upsert(Scan)
        .values(image_pk=image_pk, kind=ScanKind.LIVE, queue=queue)
        .on_conflict_do_nothing()
        .returning(Scan.id)
    )
    scan_id = session.scalar(scan)
    if scan_id is not None:
        return image_pk, scan_id, True
    known = select(Scan.id).filter_by(image_pk=image_pk, kind=ScanKind.LIVE)
    return image_pk, session.scalars(known).one(), False


def _queue_what_was_gone(session: Session, image_pk: int) -> None:
    gone = update(Scan).where(Scan.image_pk == image_pk, Scan.kind == ScanKind.LIVE, Scan.reason == Reason.GONE)
    again = {"state": ScanState.QUEUED, "due_at": func.now(), "reason": None, "detail": None, "finished_at": None}
    session.execute(gone.values(**again))


def news(session: Session, bucket: str, listed: Mapping[tuple[str, str], datetime]) -> set[tuple[str, str]]:
    """Return those (key, version) pairs of a bucket that have no image row yet, or were stored again since."""
    keys = {key for key, _ in listed}
    seen = select(Image.key, Image.version, Image.stored_at, Image.erased_at)
    rows = session.execute(seen.where(Image.bucket == bucket, Image.key.in_(keys)))
    known = {
        (key, version)
        for key, version, stored_at, erased_at in rows
        if erased_at or (key, version) not in listed or stored_at >= listed[key, version]
    }
    new = set(listed) - known
    tombs = {tombstone_key(bucket, *pair): pair for pair in new}
    erased = session.scalars(select(Image.key).where(Image.bucket == bucket, Image.key.in_(tombs)))
    return new - {tombs[key] for key in erased}


def tombstone_key(bucket: str, key: str, version: str) -> str:
    """Return what an erased image's row has for a key."""
    named = f"{bucket}\x00{key}\x00{version}"
    return f"{ERASED}:{sha256(named.encode('utf-8', 'surrogateescape')).hexdigest()}"


def _tomb(image: NewImage) -> str:
    return tombstone_key(image.bucket, image.key, image.version)


def _literals(values: Mapping[str, Any]) -> list[Any]:
    return [
        value if hasattr(value, "compile") else literal(value, Image.__table__.c[name].type)
        for name, value in values.items()
    ]
