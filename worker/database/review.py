"""The review queue in Postgres: images claimed for minutes, so that two reviewers never see the same one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.session import Database
from worker.database.tables import Image, Label, ReviewItem, ReviewPass

CLAIM = timedelta(minutes=5)


class ReviewOrder(StrEnum):
    """Which images come first."""

    UNCERTAIN = "uncertain"
    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True)
class Claim:
    """An image that one reviewer holds.

    Attributes:
        image_pk: of the image.
        image_id: the platform's own id.
    """

    image_pk: int
    image_id: str


@dataclass(frozen=True)
class ReviewFigures:
    """How the queue and the day stand.

    Attributes:
        waiting: images in the queue.
        own: images that this reviewer labelled since midnight UTC.
        team: images that anybody labelled since midnight UTC.
    """

    waiting: int
    own: int
    team: int


class ReviewQueue:
    """Images whose served verdict is uncertain and that no person has decided."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self, key_id: int, *, most: int, order: ReviewOrder = ReviewOrder.UNCERTAIN, source: str | None = None
    ) -> Sequence[Claim]:
        """Hold images for a reviewer for five minutes; those that they hold already come first.

        Args:
            key_id: the reviewer's API key.
            most: how many images they may hold at once.
            order: which images come first.
            source: images of this source alone.

        Returns:
            At most ``most`` images, in the queue's order.
        """
        wanted = [ReviewItem.source == source] if source else []
        first = _ORDERS[order]
        with self._database.transaction() as session:
            held = select(ReviewItem.image_pk).where(*wanted, _held_by(key_id)).order_by(*first).limit(most)
            claimed = list(session.scalars(held.with_for_update()))
            if len(claimed) < most:
                claimed += session.scalars(_free(key_id, wanted, first, most - len(claimed))).all()
            session.execute(
                update(ReviewItem)
                .where(ReviewItem.image_pk.in_(claimed))
                .values(claimed_by=key_id, claimed_until=func.now() + CLAIM)
            )
            names = select(Image.id, Image.image_id).where(Image.id.in_(claimed), Image.erased_at.is_(None))
            image_ids = {row.id: row.image_id for row in session.execute(names)}
        return [Claim(pk, image_ids[pk]) for pk in claimed if pk in image_ids]

    def holds(self, key_id: int, image_pk: int) -> bool:
        """Tell whether a reviewer holds an image now; false once somebody decided it or the claim ran out."""
        with self._database.transaction() as session:
            mine = select(ReviewItem.image_pk).where(ReviewItem.image_pk == image_pk, _held_by(key_id))
            return session.scalar(mine) is not None

    def put_back(self, key_id: int, image_pk: int, *, cannot_tell: bool | None = None) -> None:
        """Let go of an image.

        Args:
            key_id: the reviewer's API key.
            image_pk: of the image.
            cannot_tell: whether the reviewer looked and cannot tell, or skipped it: either way it is offered to
                others alone. None: it may be offered to the same reviewer again.
        """
        with self._database.transaction() as session:
            session.execute(
                update(ReviewItem)
                .where(ReviewItem.image_pk == image_pk, ReviewItem.claimed_by == key_id)
                .values(claimed_by=None, claimed_until=None)
            )
            if cannot_tell is not None:
                passed = upsert(ReviewPass).values(image_pk=image_pk, api_key_id=key_id, cannot_tell=cannot_tell)
                keys = [ReviewPass.image_pk, ReviewPass.api_key_id]
                session.execute(passed.on_conflict_do_update(index_elements=keys, set_={"cannot_tell": cannot_tell}))

    def take_back_pass(self, key_id: int, image_pk: int) -> None:
        """Forget that a reviewer passed on an image, and hold it for them if nobody else does."""
        with self._database.transaction() as session:
            session.execute(delete(ReviewPass).where(ReviewPass.image_pk == image_pk, ReviewPass.api_key_id == key_id))
            session.execute(
                update(ReviewItem)
                .where(ReviewItem.image_pk == image_pk, _is_free())
                .values(claimed_by=key_id, claimed_until=func.now() + CLAIM)
            )

    def remove(self, image_pk: int) -> None:
        """Take out an image whose served verdict turned out to need no person."""
        with self._database.transaction() as session:
            session.execute(delete(ReviewItem).where(ReviewItem.image_pk == image_pk))

    def figures(self, reviewer: str) -> ReviewFigures:
        """Return how the queue and the day stand for a reviewer."""
        with self._database.transaction() as session:
            waiting = session.scalar(select(func.count()).select_from(ReviewItem)) or 0
            return ReviewFigures(waiting, _labelled_today(session, reviewer), _labelled_today(session, None))

    def sources(self, most: int) -> Sequence[str]:
        """Return the sources of waiting images, by name."""
        with self._database.transaction() as session:
            return session.scalars(select(ReviewItem.source).distinct().order_by(ReviewItem.source).limit(most)).all()


_ORDERS: dict[ReviewOrder, tuple[ColumnElement[Any], ...]] = {
    ReviewOrder.UNCERTAIN: (ReviewItem.distance.asc(), ReviewItem.image_pk.asc()),
    ReviewOrder.NEWEST: (ReviewItem.queued_at.desc(), ReviewItem.image_pk.desc()),
    ReviewOrder.OLDEST: (ReviewItem.queued_at.asc(), ReviewItem.image_pk.asc()),
}


def _held_by(key_id: int) -> ColumnElement[bool]:
    return (ReviewItem.claimed_by == key_id) & (ReviewItem.claimed_until > func.now())


def _is_free() -> ColumnElement[bool]:
    return or_(ReviewItem.claimed_until.is_(None), ReviewItem.claimed_until <= func.now())


def _free(key_id: int, wanted: list[ColumnElement[bool]], first: tuple[ColumnElement[Any], ...], most: int) -> Any:
    passed = exists().where(ReviewPass.image_pk == ReviewItem.image_pk, ReviewPass.api_key_id == key_id)
    free = select(ReviewItem.image_pk).where(*wanted, _is_free(), ~passed).order_by(*first).limit(most)
    # Another reviewer's page may be claiming at this moment: its rows are passed over, not waited for.
    return free.with_for_update(skip_locked=True)


def _labelled_today(session: Session, reviewer: str | None) -> int:
    today = func.date_trunc("day", func.now(), "UTC")
    labels = select(func.count()).select_from(Label).where(Label.created_at >= today, Label.of_duplicate.is_(False))
    if reviewer is not None:
        labels = labels.where(Label.reviewer == reviewer)
    return session.scalar(labels) or 0
