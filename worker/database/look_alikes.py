"""Clusters of the review queue: images that look alike are put together, so that people decide them at once.

A cluster is named after its first image. It grows as the queue does, and two that turn out to be one are merged. How
far the detectors disagree on its images tells of generators that nobody has trained for: they cluster, and no detector
knows them well.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, exists, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.duplicates import near_statement
from worker.database.session import Database
from worker.database.tables import Image, ReviewCluster, ReviewItem
from worker.decisions.near_hashes import MOST_DISTANCE

_MOST_NEAR = 200
# Of the newest machine verdict of each image, the widest difference between its detectors' probabilities.
_DISAGREEMENT = text("""
SELECT coalesce(avg(spread.width), 0) FROM review_item
JOIN LATERAL (SELECT detectors FROM verdict WHERE image_pk = review_item.image_pk AND NOT shadow AND detectors <> '{}'
              ORDER BY id DESC LIMIT 1) AS newest ON true
JOIN LATERAL (SELECT max(p) - min(p) AS width FROM (
  SELECT (one.value ->> 'probability')::float8 AS p FROM jsonb_each(newest.detectors::jsonb) AS one) AS each) AS spread
  ON true
WHERE review_item.cluster = :cluster
""")


class LookAlikes:
    """Puts images of the review queue that look alike together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def compare(self, *, most: int) -> int:
        """Compare images that came into the queue with all others in it, the oldest first.

        Args:
            most: images compared in one call.

        Returns:
            How many were compared.
        """
        compared = 0
        while compared < most and self._compare_one():
            compared += 1
        return compared

    def tidy(self) -> None:
        """Forget clusters that have no image left in the queue, and images that nobody holds or waits for."""
        with self._database.transaction() as session:
            members = exists().where(ReviewItem.cluster == ReviewCluster.id)
            session.execute(delete(ReviewCluster).where(~members, ReviewCluster.created_at < _week_ago()))
            nobody = (~ReviewItem.uncertain, ReviewItem.disputed_at.is_(None), ReviewItem.claimed_until < func.now())
            session.execute(delete(ReviewItem).where(*nobody))

    def _compare_one(self) -> bool:
        """Compare one image; its lock and its neighbours' are held for no other."""
        new = select(ReviewItem.image_pk).where(ReviewItem.uncertain, ReviewItem.compared_at.is_(None))
        with self._database.transaction() as session:
            pk = session.scalar(new.order_by(ReviewItem.image_pk).limit(1).with_for_update(skip_locked=True))
            if pk is None:
                return False
            session.execute(update(ReviewItem).where(ReviewItem.image_pk == pk).values(compared_at=func.now()))
            near = _near_in_queue(session, pk)
            if near:
                _put_together(session, pk, near)
        return True


def _week_ago() -> Any:
    return func.now() - literal_column("interval '7 days'")


def _near_in_queue(session: Session, image_pk: int) -> Sequence[Any]:
    bits = session.scalar(select(Image.pdq).where(Image.id == image_pk))
    if bits is None:
        return []
    session.execute(text("SET LOCAL enable_seqscan = off"))
    near = [image.id for image, _ in session.execute(near_statement(image_pk, str(bits), MOST_DISTANCE, _MOST_NEAR))]
    items = select(ReviewItem.image_pk, ReviewItem.cluster).where(ReviewItem.image_pk.in_(near), ReviewItem.uncertain)
    return session.execute(items).all()


def _put_together(session: Session, image_pk: int, near: Sequence[Any]) -> None:
    clusters = sorted({one.cluster for one in near if one.cluster is not None})
    cluster = clusters[0] if clusters else min(image_pk, *(one.image_pk for one in near))
    members = [image_pk, *(one.image_pk for one in near)]
    mine = ReviewItem.image_pk.in_(members) | ReviewItem.cluster.in_(clusters)
    session.execute(update(ReviewItem).where(mine).values(cluster=cluster))
    session.execute(delete(ReviewCluster).where(ReviewCluster.id.in_(clusters[1:])))
    images = session.scalar(select(func.count()).where(ReviewItem.cluster == cluster)) or 0
    disagreement = float(session.scalar(_DISAGREEMENT, {"cluster": cluster}) or 0)
    new = upsert(ReviewCluster).values(id=cluster, images=images, disagreement=disagreement)
    # Images leave as people decide them; how large it has been is what tells.
    grown = {
        "images": func.greatest(ReviewCluster.images, new.excluded.images),
        "disagreement": new.excluded.disagreement,
    }
    session.execute(new.on_conflict_do_update(index_elements=[ReviewCluster.id], set_=grown))
