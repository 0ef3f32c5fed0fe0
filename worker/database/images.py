"""Images as they arrive: an upsert that makes the live scan with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, column, exists, false, func, select, tuple_, update, values
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

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
    """Make the image row and its one live scan unless they exist, as :func:`insert_images_and_scans`.

    Returns:
        Primary keys of image and scan, and whether the scan is new.

    Raises:
        ErasedImageError: the image was erased.
    """
    (row,) = insert_images_and_scans(session, [image], queue)
    if row is None:
        raise ErasedImageError
    return row


def insert_images_and_scans(
    session: Session, images: Sequence[NewImage], queue: str = LIVE_QUEUE
) -> list[tuple[int, int, bool] | None]:
    """Make image rows and their one live scan each unless they exist, by a few statements however many there are.

    A state that was stored again (the same bytes after others, or a deleted
    object that is back) becomes the newest again, and its scan is queued again if
    it ended because the object was gone. Only what the store shows does that: an event can be made up.

    Returns:
        For each image the primary keys of image and scan, and whether the scan is new; None for one that was erased.
    """
    # In one order everywhere, so that two that insert the same wait for each other and do not block each other.
    rows = {_state(image): image for image in sorted(images, key=_state)}
    touched: list[int] = []
    for dated in (True, False):
        group = [image for image in rows.values() if (image.stored_at is not None) is dated]
        if group:
            touched += session.scalars(_upsert(group, dated=dated))
    _queue_what_was_gone(session, touched)
    states = tuple_(Image.bucket, Image.key, Image.version)
    columns = (Image.bucket, Image.key, Image.version, Image.id)
    stored = session.execute(select(*columns).where(states.in_(list(rows))))
    ids = {(bucket, key, version): image_pk for bucket, key, version, image_pk in stored}
    new, old = _insert_scans(session, sorted(ids.values()), queue)
    return [_inserted(ids.get(_state(image)), new, old) for image in images]


def _inserted(image_pk: int | None, new: Mapping[int, int], old: Mapping[int, int]) -> tuple[int, int, bool] | None:
    if image_pk is None:
        return None
    return (image_pk, new[image_pk], True) if image_pk in new else (image_pk, old[image_pk], False)


def _state(image: NewImage) -> tuple[str, str, str]:
    return image.bucket, image.key, image.version


def _upsert(images: Sequence[NewImage], *, dated: bool) -> ReturningInsert[int]:
    """Return the statement that makes rows, or changes those that came again; it returns the ids of both.

    Args:
        images: of different states.
        dated: whether it is known when they were stored.
    """
    names = list(vars(images[0]))
    typed = [column(name, Image.__table__.c[name].type) for name in names]
    lines = [(*vars(image).values(), _tomb(image)) for image in images]
    new = values(*typed, column("tomb", Text), name="new").data(lines)
    # Where every row lacks a value, nothing else would tell its type.
    columns: dict[str, ColumnElement[Any]] = {name: cast(new.c[name], new.c[name].type) for name in names}
    # What lies in the future counts as now.
    columns["stored_at"] = func.least(func.coalesce(columns["stored_at"], func.now()), func.now())
    erased = exists().where(Image.bucket == new.c.bucket, Image.key == new.c.tomb, Image.version == ERASED)
    insert = upsert(Image).from_select(
        names, select(*columns.values()).where(~erased).order_by(new.c.key, new.c.version)
    )
    later = Image.stored_at < insert.excluded.stored_at if dated else false()
    return insert.on_conflict_do_update(
        constraint="uq_image_bucket_key_version",
        set_={"stored_at": insert.excluded.stored_at, "confirmed": True},
        where=Image.erased_at.is_(None) & insert.excluded.confirmed & (later | ~Image.confirmed),
    ).returning(Image.id)


def _queue_what_was_gone(session: Session, image_pks: Sequence[int]) -> None:
    if not image_pks:
        return
    gone = update(Scan).where(Scan.image_pk.in_(image_pks), Scan.kind == ScanKind.LIVE, Scan.reason == Reason.GONE)
    again = {"state": ScanState.QUEUED, "due_at": func.now(), "reason": None, "detail": None, "finished_at": None}
    session.execute(gone.values(**again))


def _insert_scans(session: Session, image_pks: Sequence[int], queue: str) -> tuple[dict[int, int], dict[int, int]]:
    """Make the live scans that are lacking; return those, and those that were there, by the image's key."""
    if not image_pks:
        return {}, {}
    lines = [{"image_pk": image_pk, "kind": ScanKind.LIVE, "queue": queue} for image_pk in image_pks]
    made = upsert(Scan).values(lines).on_conflict_do_nothing().returning(Scan.image_pk, Scan.id)
    new = dict(session.execute(made).all())
    rest = [image_pk for image_pk in image_pks if image_pk not in new]
    there = select(Scan.image_pk, Scan.id).where(Scan.image_pk.in_(rest), Scan.kind == ScanKind.LIVE)
    return new, dict(session.execute(there).all()) if rest else {}


def news(session: Session, bucket: str, listed: Mapping[tuple[str, str], datetime]) -> set[tuple[str, str]]:
    """Return those (key, version) pairs of a bucket that have no image row yet, or were stored again since."""
    keys = {key for key, _ in listed}
    query = select(Image.key, Image.version, Image.stored_at, Image.erased_at)
    rows = session.execute(query.where(Image.bucket == bucket, Image.key.in_(keys)))
    present = {
        (key, version)
        for key, version, stored_at, erased_at in rows
        if erased_at or (key, version) not in listed or stored_at >= listed[key, version]
    }
    new = set(listed) - present
    tombs = {tombstone_key(bucket, *pair): pair for pair in new}
    erased = session.scalars(select(Image.key).where(Image.bucket == bucket, Image.key.in_(tombs)))
    return new - {tombs[key] for key in erased}


def tombstone_key(bucket: str, key: str, version: str) -> str:
    """Return what an erased image's row has for a key."""
    named = f"{bucket}\x00{key}\x00{version}"
    return f"{ERASED}:{sha256(named.encode('utf-8', 'surrogateescape')).hexdigest()}"


def _tomb(image: NewImage) -> str:
    return tombstone_key(image.bucket, image.key, image.version)
