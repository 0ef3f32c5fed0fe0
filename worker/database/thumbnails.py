"""Thumbnails: where each lies, and scans of their own kind that make those which somebody wants to see."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.driver_statement import DriverStatement
from worker.database.images import LIVE_QUEUE
from worker.database.served import newest_image
from worker.database.session import Database
from worker.database.tables import Image, Scan, ScanKind, ScanState, Thumbnail

_THUMBNAILS: Any = Thumbnail.__table__
_NEW = upsert(_THUMBNAILS)
# Every first scan pays for it, so it is made once.
_PUT = DriverStatement(
    _NEW.on_conflict_do_update(index_elements=[_THUMBNAILS.c.image_pk], set_={"key": _NEW.excluded.key}),
    ("image_pk", "key"),
)
_ENDED_WITHOUT = (ScanState.REJECTED, ScanState.DEAD)


@dataclass(frozen=True)
class FoundThumbnail:
    """Where the thumbnail of an image lies in the artifact bucket; without a key, whether one is on its way."""

    key: str | None
    is_coming: bool = False


class Thumbnails:
    """Finds thumbnails of the newest version of an image, and queues those that are missing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, image_id: str) -> FoundThumbnail | None:
        """Return the thumbnail of an image, and ask for it where there is none.

        It is asked for once, however many look at once; not again where the file turned out to be no good picture.

        Returns:
            None when the image is unknown or erased.
        """
        with self._database.transaction() as session:
            newest = newest_image(image_id).with_only_columns(Image.id, Thumbnail.key)
            row = session.execute(newest.outerjoin(Thumbnail, Thumbnail.image_pk == Image.id)).one_or_none()
            if row is None:
                return None
            if row.key is not None:
                return FoundThumbnail(row.key)
            return FoundThumbnail(None, is_coming=_ask(session, row.id))


def put(session: Session, image_pk: int, key: str) -> None:
    """Note where a thumbnail lies; a later one takes the place of an earlier one."""
    _PUT.rows(session, {"image_pk": image_pk, "key": key})


def _ask(session: Session, image_pk: int) -> bool:
    """Queue a thumbnail; tell whether one is on its way."""
    # Held against an erasure at the same moment.
    alive = select(Image.id).where(Image.id == image_pk, Image.erased_at.is_(None)).with_for_update(read=True)
    of_this = exists().where(Scan.image_pk == image_pk, Scan.kind == ScanKind.THUMBNAIL)
    if session.scalar(alive) is None or session.scalar(select(of_this.where(Scan.state.in_(_ENDED_WITHOUT)))):
        return False
    made = {"image_pk": image_pk, "kind": ScanKind.THUMBNAIL, "queue": LIVE_QUEUE}
    session.execute(upsert(Scan).values(**made).on_conflict_do_nothing())
    return True
