"""Clusters of the review queue: images that look alike are put together, so that people decide them at once.

A cluster is named after its first image. It grows as the queue does, and two that turn out to be one are merged. How
far the detectors disagree on its images tells of generators that nobody has trained for: they cluster, and no detector
knows them well.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Integer, bindparam, delete, exists, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, BIT
from sqlalchemy.orm import Session

from worker.database.driver_statement import DriverStatement
from worker.database.session import Database, compiled
from worker.database.tables import Image, ReviewCluster, ReviewItem
from worker.decisions.near_hashes import HASH_BITS, MOST_DISTANCE, probes_of

_MOST_NEAR = 200
# Images leave as people decide them; how large a cluster has been is what tells. Disagreement is the mean, over images,
# of the widest difference between the probabilities of detectors, in the newest machine verdict.
_MEASURE = text("""
INSERT INTO review_cluster (id, images, disagreement)
SELECT item.cluster, count(*), coalesce(avg(spread.width), 0) FROM review_item AS item
LEFT JOIN LATERAL (SELECT detectors FROM verdict
                   WHERE image_pk = item.image_pk AND NOT shadow AND detectors <> '{}'
                   ORDER BY id DESC LIMIT 1) AS newest ON true
LEFT JOIN LATERAL (SELECT max(p) - min(p) AS width FROM (
  SELECT (one.value ->> 'probability')::float8 AS p FROM jsonb_each(newest.detectors::jsonb) AS one) AS each) AS spread
  ON true
WHERE item.cluster = :cluster GROUP BY item.cluster
ON CONFLICT (id) DO UPDATE SET images = greatest(review_cluster.images, excluded.images),
                               disagreement = excluded.disagreement
""")
_AT_ONCE = 25  # images looked for in one transaction
_IMAGES: Any = Image.__table__
_ITEMS: Any = ReviewItem.__table__
_IS_NEW = _ITEMS.c.uncertain & _ITEMS.c.compared_at.is_(None)
# Statements for every image of the queue are made once, of the tables: to put one together costs more than to send it.
_NEW = compiled(
    select(_ITEMS.c.image_pk, _IMAGES.c.pdq)
    .join(_IMAGES, _IMAGES.c.id == _ITEMS.c.image_pk)
    .where(_IS_NEW)
    .order_by(_ITEMS.c.image_pk)
    .limit(bindparam("most", type_=Integer()))
)
# Postgres takes a search for any of 272 bands for one that finds nearly all images, and would read all of them.
_BY_INDEX = text("SET LOCAL enable_seqscan = off")
_DISTANCE = func.bit_count(_IMAGES.c.pdq.op("#")(bindparam("bits", type_=BIT(HASH_BITS))), type_=Integer)
# A step of its own, for beside the queue Postgres might walk through all images in the order of their ids.
_NEAR = (
    select(_IMAGES.c.id, _DISTANCE.label("distance"))
    .where(_IMAGES.c.pdq_bands.overlap(bindparam("probes", type_=ARRAY(Integer))))
    .where(_IMAGES.c.id != bindparam("image", type_=BigInteger()), _DISTANCE <= MOST_DISTANCE)
    .cte("near")
    .prefix_with("MATERIALIZED")
)
_NEAR_IN_QUEUE = DriverStatement(
    select(_ITEMS.c.image_pk)
    .join(_NEAR, _NEAR.c.id == _ITEMS.c.image_pk)
    .where(_ITEMS.c.uncertain)
    .order_by(_NEAR.c.distance, _NEAR.c.id.desc())
    .limit(_MOST_NEAR)
)
_OF_IMAGES = _ITEMS.c.image_pk == func.any(bindparam("images", type_=ARRAY(BigInteger)))
_HERE = compiled(select(_ITEMS.c.image_pk, _ITEMS.c.cluster).where(_OF_IMAGES, _ITEMS.c.uncertain))
_JOIN = compiled(
    update(_ITEMS)
    .where(_OF_IMAGES | (_ITEMS.c.cluster == func.any(bindparam("merged", type_=ARRAY(BigInteger)))))
    .values(cluster=bindparam("into", type_=BigInteger()))
)
_FREE = (
    select(_ITEMS.c.image_pk).where(_IS_NEW, _OF_IMAGES).order_by(_ITEMS.c.image_pk).with_for_update(skip_locked=True)
)
_MARK = compiled(
    update(_ITEMS).where(_ITEMS.c.image_pk.in_(_FREE)).values(compared_at=func.now()).returning(_ITEMS.c.image_pk)
)


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
        while compared < most and (done := self._compare_some(min(_AT_ONCE, most - compared))):
            compared += done
        return compared

    def tidy(self) -> None:
        """Forget clusters that have no image left in the queue, and images that nobody holds or waits for."""
        with self._database.transaction() as session:
            members = exists().where(ReviewItem.cluster == ReviewCluster.id)
            session.execute(delete(ReviewCluster).where(~members, ReviewCluster.created_at < _week_ago()))
            nobody = (~ReviewItem.uncertain, ReviewItem.disputed_at.is_(None), ReviewItem.claimed_until < func.now())
            session.execute(delete(ReviewItem).where(*nobody))

    def _compare_some(self, most: int) -> int:
        """Compare some images: those without a like, which are nearly all, are marked together, others one by one.

        A like that joins the queue meanwhile is compared later, and finds the image then.
        """
        near = self._near_of_new(most)
        alone = [image_pk for image_pk, likes in near.items() if not likes]
        with self._database.transaction() as session:
            compared = len(session.scalars(_MARK, {"images": alone}).all()) if alone else 0
        return compared + sum(self._group(image_pk, likes) for image_pk, likes in near.items() if likes)

    def _near_of_new(self, most: int) -> dict[int, Sequence[int]]:
        with self._database.transaction() as session:
            new = session.execute(_NEW, {"most": most}).all()
            session.execute(_BY_INDEX)
            return {image_pk: _near_in_queue(session, image_pk, bits) for image_pk, bits in new}

    def _group(self, image_pk: int, likes: Sequence[int]) -> bool:
        """Put an image and its likes together; its lock and theirs are held for no other.

        Returns:
            Whether it could be had; else somebody decides it just now, and it comes again or leaves the queue.
        """
        with self._database.transaction() as session:
            if not session.scalars(_MARK, {"images": [image_pk]}).all():
                return False
            if here := session.execute(_HERE, {"images": likes}).all():
                _put_together(session, image_pk, here)
        return True


def _week_ago() -> Any:
    return func.now() - literal_column("interval '7 days'")


def _near_in_queue(session: Session, image_pk: int, bits: Any) -> Sequence[int]:
    if bits is None:
        return []
    values = {"image": image_pk, "bits": str(bits), "probes": probes_of(str(bits))}
    return [image_pk for (image_pk,) in _NEAR_IN_QUEUE.rows(session, values)]


def _put_together(session: Session, image_pk: int, near: Sequence[Any]) -> None:
    clusters = sorted({one.cluster for one in near if one.cluster is not None})
    cluster = clusters[0] if clusters else min(image_pk, *(one.image_pk for one in near))
    joining = [image_pk, *(one.image_pk for one in near if one.cluster is None)]
    session.execute(_JOIN, {"images": joining, "merged": clusters[1:], "into": cluster})
    if len(clusters) > 1:
        session.execute(delete(ReviewCluster).where(ReviewCluster.id.in_(clusters[1:])))
    session.execute(_MEASURE, {"cluster": cluster})
