"""Images as they arrive: an upsert that makes the live scan with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Text,
    bindparam,
    column,
    exists,
    false,
    func,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.driver_statement import DriverStatement
from worker.database.session import compiled
from worker.database.tables import Image, Scan, ScanKind, ScanState
from worker.errors import AssayError, Reason

LIVE_QUEUE = "scan.live"
BULK_QUEUE = "scan.bulk"
# What an erased image has for a version.
ERASED = "erased"

_State: TypeAlias = tuple[str, str, str]  # bucket, key, version


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


_IMAGES: Any = Image.__table__
_SCANS: Any = Scan.__table__
_NAMES = tuple(field.name for field in fields(NewImage))
_STATE = tuple_(_IMAGES.c.bucket, _IMAGES.c.key, _IMAGES.c.version)
_STATE_AND_ID = (_IMAGES.c.bucket, _IMAGES.c.key, _IMAGES.c.version, _IMAGES.c.id)
_IDS = select(*_STATE_AND_ID)
_OF_IMAGES: Any = bindparam("images", type_=ARRAY(BigInteger))
_LIVE = (_SCANS.c.image_pk == func.any(_OF_IMAGES)) & (_SCANS.c.kind == ScanKind.LIVE)
_LIVE_SCANS = compiled(select(_SCANS.c.image_pk, _SCANS.c.id).where(_LIVE))
_QUEUE_WHAT_WAS_GONE = compiled(
    update(_SCANS)
    .where(_LIVE, _SCANS.c.reason == Reason.GONE)
    .values(state=ScanState.QUEUED, due_at=func.now(), reason=None, detail=None, finished_at=None)
)
_INSERT_SCANS = DriverStatement(
    upsert(_SCANS)
    .from_select(
        ["image_pk", "kind", "queue"],
        select(func.unnest(_OF_IMAGES), literal(ScanKind.LIVE, Text()), bindparam("into_queue", type_=Text())),
    )
    .on_conflict_do_nothing()
    .returning(_SCANS.c.image_pk, _SCANS.c.id)
)


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
    # In one order, dated ones first, so that two that insert the same mostly wait for each other. Of those that block
    # each other one is refused, and tried again. Of those of one state the last counts: what the store has shown.
    rows = {_state(image): image for image in sorted(images, key=lambda image: (*_state(image), image.confirmed))}
    ids = _insert_or_update(session, list(rows.values()))
    touched = set(ids.values())
    if rest := [state for state in rows if state not in ids]:
        ids.update(_pairs(session.execute(_IDS.where(_STATE.in_(rest)))))
    new, old = _insert_scans(session, sorted(ids.values()), queue)
    if again := sorted(touched.intersection(old)):
        session.execute(_QUEUE_WHAT_WAS_GONE, {"images": again})
    return [_inserted(ids.get(_state(image)), new, old) for image in images]


def _inserted(image_pk: int | None, new: Mapping[int, int], old: Mapping[int, int]) -> tuple[int, int, bool] | None:
    if image_pk is None:
        return None
    return (image_pk, new[image_pk], True) if image_pk in new else (image_pk, old[image_pk], False)


def _state(image: NewImage) -> _State:
    return image.bucket, image.key, image.version


def _insert_or_update(session: Session, images: Sequence[NewImage]) -> dict[_State, int]:
    ids: dict[_State, int] = {}
    for dated in (True, False):
        group = [image for image in images if (image.stored_at is not None) is dated]
        if group:
            ids.update(_pairs(_upsert(dated=dated).rows(session, _columns(group))))
    return ids


def _pairs(rows: Iterable[Any]) -> dict[_State, int]:
    return {(bucket, key, version): image_pk for bucket, key, version, image_pk in rows}


def _columns(images: Sequence[NewImage]) -> dict[str, list[Any]]:
    """Return the parameters of :func:`_upsert`: a list of values for each name."""
    lists: dict[str, list[Any]] = {name: [getattr(image, name) for image in images] for name in _NAMES}
    return lists | {"tomb": [tombstone_key(*_state(image)) for image in images]}


@cache
def _upsert(*, dated: bool) -> DriverStatement:
    """Return the statement that makes rows, or changes those that came again; it returns state and id of both.

    It takes a list for each column: one text for any number of rows, so that it is put together once.

    Args:
        dated: whether it is known when the images were stored.
    """
    types = {name: _IMAGES.c[name].type for name in _NAMES} | {"tomb": Text()}
    lists = [bindparam(name, type_=ARRAY(kind)) for name, kind in types.items()]
    rows = func.unnest(*lists).table_valued(*(column(name, kind) for name, kind in types.items()), name="new")
    new = rows.render_derived()
    columns: dict[str, ColumnElement[Any]] = {name: new.c[name] for name in _NAMES}
    # What lies in the future counts as now.
    columns["stored_at"] = func.least(func.coalesce(new.c.stored_at, func.now()), func.now())
    erased = exists().where(_IMAGES.c.bucket == new.c.bucket, _IMAGES.c.key == new.c.tomb, _IMAGES.c.version == ERASED)
    insert = upsert(_IMAGES).from_select(
        list(_NAMES), select(*columns.values()).where(~erased).order_by(new.c.key, new.c.version)
    )
    later = _IMAGES.c.stored_at < insert.excluded.stored_at if dated else false()
    made = insert.on_conflict_do_update(
        constraint="uq_image_bucket_key_version",
        set_={"stored_at": insert.excluded.stored_at, "confirmed": True},
        where=_IMAGES.c.erased_at.is_(None) & insert.excluded.confirmed & (later | ~_IMAGES.c.confirmed),
    )
    return DriverStatement(made.returning(*_STATE_AND_ID))


def _insert_scans(session: Session, image_pks: Sequence[int], queue: str) -> tuple[dict[int, int], dict[int, int]]:
    """Make the live scans that are lacking; return those, and those that were there, by the image's key."""
    if not image_pks:
        return {}, {}
    new: dict[int, int] = dict(_INSERT_SCANS.rows(session, {"images": list(image_pks), "into_queue": queue}))
    rest = [image_pk for image_pk in image_pks if image_pk not in new]
    return new, dict(session.execute(_LIVE_SCANS, {"images": rest}).all()) if rest else {}


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
