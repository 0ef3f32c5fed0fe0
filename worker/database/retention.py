"""How long things are kept: the rules, and the statements that keep them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Interval, cast, delete, func, insert, literal, or_, select
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.session import Database
from worker.database.tables import DoomedObject, Heatmap, Retention, WebhookDelivery


@dataclass(frozen=True)
class RetentionTerms:
    """Days that things are kept; None for ever."""

    image_days: int | None
    heatmap_days: int | None
    delivery_days: int


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
            dropped = delete(Heatmap).where(Heatmap.id.in_(old.scalar_subquery())).returning(Heatmap.key)
            keys = session.scalars(dropped).all()
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
