"""Erasure: the one act that changes verdicts. What names an image or a person goes; figures and a tombstone stay.

The tombstone holds a hash of bucket, key and version, so that an event or a
sweep that comes upon the same object again does not bring it back.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Interval, cast, delete, func, insert, literal, select, text, update
from sqlalchemy.orm import Session

from worker.database.appeals import lapse
from worker.database.audit import Actor, record
from worker.database.features import forget as forget_features
from worker.database.image_context import forget as forget_context
from worker.database.images import ERASED, tombstone_key
from worker.database.platform_decisions import forget as forget_decisions
from worker.database.session import Database
from worker.database.tables import (
    OPEN_STATES,
    AuditEntry,
    Callback,
    DoomedObject,
    Fetch,
    Heatmap,
    Image,
    Label,
    Scan,
    ScanState,
    Thumbnail,
    Verdict,
)
from worker.errors import Reason

# What Assay uploaded for a platform lies under this prefix, and goes with its image.
UPLOADED = "api/"
# A worker that was about to store a heatmap has done so by then, and its scan has been taken from it.
_STRAGGLERS = "15 minutes"


class Erasure:
    """Erases images; objects in the store are doomed in the same transaction and deleted after it."""

    def __init__(self, database: Database, artifact_bucket: str) -> None:
        self._database = database
        self._artifact_bucket = artifact_bucket

    def erase(self, actor: Actor, image_id: str) -> int:
        """Erase every version of an image; return how many there were, 0 when it is unknown."""
        mine = select(Image).where(Image.image_id == image_id, Image.erased_at.is_(None)).order_by(Image.id)
        with self._database.transaction() as session:
            images = session.scalars(mine.with_for_update()).all()
            self._erase(session, actor, images)
        return len(images)

    def erase_old(self, actor: Actor, days: int, *, most: int) -> int:
        """Erase images that became known more than so many days ago, oldest first; return how many."""
        age = cast(literal(f"{days} days"), Interval)
        old = select(Image).where(Image.erased_at.is_(None), Image.created_at < func.now() - age)
        with self._database.transaction() as session:
            images = session.scalars(old.order_by(Image.id).limit(most).with_for_update(skip_locked=True)).all()
            self._erase(session, actor, images)
        return len(images)

    def _erase(self, session: Session, actor: Actor, images: Sequence[Image]) -> None:
        if not images:
            return
        session.execute(text("SET LOCAL assay.erasing = 'on'"))
        erased = [image.id for image in images]
        of_these = select(Verdict.id).where(Verdict.image_pk.in_(erased))
        session.execute(delete(Heatmap).where(Heatmap.verdict_id.in_(of_these)))
        session.execute(delete(Thumbnail).where(Thumbnail.image_pk.in_(erased)))
        for table in (Label, Fetch, Callback):
            session.execute(delete(table).where(table.image_pk.in_(erased)))
        forget_features(session, erased)
        lapse(session, erased)
        forget_decisions(session, erased)
        forget_context(session, erased)
        forgotten: dict[str, Any] = {
            "reviewer": None,
            "reason": None,
            "provenance": {},
            "content": None,
            "frame_key": None,
        }
        session.execute(update(Verdict).where(Verdict.image_pk.in_(erased)).values(**forgotten))
        ended = {"state": ScanState.REJECTED, "reason": Reason.GONE, "due_at": None, "lease_token": None}
        session.execute(
            update(Scan)
            .where(Scan.image_pk.in_(erased), Scan.state.in_(OPEN_STATES))
            .values(**ended, finished_at=func.now())
        )
        session.execute(update(Scan).where(Scan.image_pk.in_(erased)).values(detail=None))
        targets = [f"image:{pk}" for pk in erased]
        nameless = AuditEntry.detail.op("-")("reviewer")
        session.execute(update(AuditEntry).where(AuditEntry.target.in_(targets)).values(detail=nameless))
        for image in images:
            self._doom(session, image)
            record(session, actor, "image.erase", f"image:{image.id}")
            _bury(image)
        session.execute(text("SET LOCAL assay.erasing = 'off'"))

    def _doom(self, session: Session, image: Image) -> None:
        later = func.now() + cast(literal(_STRAGGLERS), Interval)
        for folder in ("heatmaps", "thumbnails"):
            artifacts = {"bucket": self._artifact_bucket, "key": f"{folder}/{image.id}/", "prefix": True}
            session.execute(insert(DoomedObject).values(**artifacts))
            session.execute(insert(DoomedObject).values(**artifacts, due_at=later))
        if image.key.startswith(UPLOADED):
            session.execute(insert(DoomedObject).values(bucket=image.bucket, key=image.key, prefix=False))


def _bury(image: Image) -> None:
    image.key = tombstone_key(image.bucket, image.key, image.version)
    image.version = ERASED
    image.image_id = f"{ERASED}:{image.id}"
    image.sha256 = image.pdq = image.pdq_bands = None
    image.size_bytes = image.width = image.height = None
    image.erased_at = func.now()
