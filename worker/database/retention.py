"""How long things are kept: the rules, and the statements that keep them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Interval, cast, delete, func, insert, literal, or_, select, text, update
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.session import Database
from worker.database.tables import DoomedObject, Heatmap, Retention, Thumbnail, Verdict, WebhookDelivery


@dataclass(frozen=True)
class RetentionTerms:
    """Days that things are kept; None for ever."""

    image_days: int | None
    heatmap_days: int | None
    delivery_days: int
    appeal_days: int = 180


class Retentions:
    """The table of retention rules, and what follows from them for tables of other nouns."""

    def __init__(self, database: Database, artifact_bucket: str) -> None:
        self._database = database
        self._artifact_bucket = artifact_bucket

    def newest(self) -> Retention:
        """Return the rules that count; there are some from their migration on."""
        with self._database.transaction() as session:
            return session.scalars(select(Retention).order_by(Retention.version.desc()).limit(1)).one()

    def add(self, actor: Actor, terms: RetentionTerms) -> Retention:
        """Make a new version of the rules."""
        with self._database.transaction() as session:
            retention = Retention(**vars(terms), created_by=actor.name)
            session.add(retention)
            session.flush()
            session.refresh(retention)
            record(session, actor, "retention.add", f"retention:{retention.version}", **vars(terms))
        return retention

    def drop_heatmaps(self, days: int, *, most: int) -> int:
        """Drop heatmaps older than so many days, and doom their objects; return how many."""
        old = select(Heatmap.id).where(Heatmap.created_at < _ago(days)).order_by(Heatmap.id).limit(most)
        with self._database.transaction() as session:
            dropped = (
                delete(Heatmap).where(Heatmap.id.in_(old.scalar_subquery())).returning(Heatmap.key, Heatmap.raw_key)
            )
            keys = session.execute(dropped).all()
            self._doom(session, [key for both in keys for key in both if key])
        return len(keys)

    def drop_frames(self, days: int, *, most: int) -> int:
        """Doom pictures of animations' frames that are older than so many days; return how many."""
        old = select(Verdict.id, Verdict.frame_key).where(
            Verdict.frame_key.is_not(None), Verdict.created_at < _ago(days)
        )
        with self._database.transaction() as session:
            frames = session.execute(old.order_by(Verdict.created_at).limit(most)).all()
            session.execute(text("SET LOCAL assay.erasing = 'on'"))
            gone = [verdict_id for verdict_id, _ in frames]
            session.execute(update(Verdict).where(Verdict.id.in_(gone)).values(frame_key=None))
            self._doom(session, [key for _, key in frames if key])
        return len(frames)

    def drop_thumbnails(self, days: int, *, most: int) -> int:
        """Drop thumbnails older than so many days, and doom their objects; return how many.

        Whoever looks at such an image again has one made anew.
        """
        old = select(Thumbnail.image_pk).where(Thumbnail.created_at < _ago(days)).order_by(Thumbnail.created_at)
        with self._database.transaction() as session:
            oldest = Thumbnail.image_pk.in_(old.limit(most).scalar_subquery())
            keys = session.scalars(delete(Thumbnail).where(oldest).returning(Thumbnail.key)).all()
            self._doom(session, keys)
        return len(keys)

    def drop_deliveries(self, days: int, *, most: int) -> int:
        """Drop webhook deliveries that ended and are older than so many days; return how many."""
        ended = or_(WebhookDelivery.delivered_at.is_not(None), WebhookDelivery.due_at.is_(None))
        old = select(WebhookDelivery.id).where(WebhookDelivery.created_at < _ago(days), ended)
        oldest = old.order_by(WebhookDelivery.id).limit(most).scalar_subquery()
        with self._database.transaction() as session:
            dropped = delete(WebhookDelivery).where(WebhookDelivery.id.in_(oldest)).returning(WebhookDelivery.id)
            return len(session.scalars(dropped).all())

    def _doom(self, session: Session, keys: Sequence[str]) -> None:
        rows = [{"bucket": self._artifact_bucket, "key": key, "prefix": False} for key in keys]
        if rows:
            session.execute(insert(DoomedObject), rows)


def _ago(days: int) -> object:
    return func.now() - cast(literal(f"{days} days"), Interval)
