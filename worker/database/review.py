"""The review queue in Postgres: images claimed for minutes, so that two reviewers never see the same one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.label_agreement import LabelTerms
from worker.database.review_orders import OUTSIDE_THE_QUEUE, ReviewOrder, Wish, select_images
from worker.database.session import Database
from worker.database.tables import ApiKey, Image, Label, ReviewItem, ReviewPass

CLAIM = timedelta(minutes=5)
MOST_COUNTED = 10_000
# Of the audit slice each image is looked at to be counted.
_MOST_COUNTED_OUTSIDE = 1_000
# Steps from source to source along the index; DISTINCT would read every row of it.
_SOURCES = text(
    "WITH RECURSIVE step AS ((SELECT source FROM review_item WHERE uncertain ORDER BY source LIMIT 1) UNION ALL "
    "SELECT (SELECT source FROM review_item WHERE uncertain AND source > step.source ORDER BY source LIMIT 1) "
    "FROM step WHERE step.source IS NOT NULL) "
    "SELECT source FROM step WHERE source IS NOT NULL LIMIT :most"
)


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
    """How a queue and the day stand.

    Attributes:
        waiting: images that wait, counted up to ``most``.
        most: where counting ends.
        own: images that this reviewer labelled since midnight UTC.
        team: images that anybody labelled since midnight UTC.
    """

    waiting: int
    most: int
    own: int
    team: int


class ReviewQueue:
    """Images that need a person: uncertain ones that nobody has decided, disputes, the audit slice and appeals."""

    def __init__(self, database: Database, terms: LabelTerms | None = None) -> None:
        self._database = database
        self._terms = terms or LabelTerms()

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
        with self._database.transaction() as session:
            images = select_images(self._wish(session, key_id, order, source))
            claimed = list(session.scalars(images.where(_held_by(key_id)).limit(most)))
            if len(claimed) < most:
                free = images.where(_is_free(), ~_passed(key_id, order)).limit(most - len(claimed))
                if order not in OUTSIDE_THE_QUEUE:
                    # Another reviewer's page may be claiming now: its rows are passed over, not waited for.
                    free = free.with_for_update(skip_locked=True, of=ReviewItem)
                claimed += session.scalars(free)
            held = _hold(session, key_id, claimed)
            names = select(Image.id, Image.image_id).where(Image.id.in_(held), Image.erased_at.is_(None))
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
            session.execute(delete(ReviewItem).where(ReviewItem.image_pk == image_pk, _waits_for_nobody()))
            if cannot_tell is not None:
                passed = upsert(ReviewPass).values(image_pk=image_pk, api_key_id=key_id, cannot_tell=cannot_tell)
                keys = [ReviewPass.image_pk, ReviewPass.api_key_id]
                session.execute(passed.on_conflict_do_update(index_elements=keys, set_={"cannot_tell": cannot_tell}))

    def take_back_pass(self, key_id: int, image_pk: int) -> None:
        """Forget that a reviewer passed on an image, and hold it for them if nobody else does."""
        with self._database.transaction() as session:
            session.execute(delete(ReviewPass).where(ReviewPass.image_pk == image_pk, ReviewPass.api_key_id == key_id))
            _hold(session, key_id, [image_pk])

    def remove(self, image_pk: int) -> None:
        """Take out an image whose served verdict turned out to need no person."""
        with self._database.transaction() as session:
            session.execute(delete(ReviewItem).where(ReviewItem.image_pk == image_pk))

    def figures(
        self, key_id: int, reviewer: str, *, order: ReviewOrder = ReviewOrder.UNCERTAIN, source: str | None = None
    ) -> ReviewFigures:
        """Return how a queue and the day stand for a reviewer."""
        most = _MOST_COUNTED_OUTSIDE if order in OUTSIDE_THE_QUEUE else MOST_COUNTED
        with self._database.transaction() as session:
            # To count a million takes longer than a reviewer should wait for the next picture.
            some = select_images(self._wish(session, key_id, order, source)).order_by(None).limit(most).subquery()
            waiting = session.scalar(select(func.count()).select_from(some)) or 0
            return ReviewFigures(waiting, most, labelled_today(session, reviewer), labelled_today(session, None))

    def sources(self, most: int) -> Sequence[str]:
        """Return the sources of waiting images, by name."""
        with self._database.transaction() as session:
            return list(session.scalars(_SOURCES, {"most": most}))

    def _wish(self, session: Session, key_id: int, order: ReviewOrder, source: str | None) -> Wish:
        first = session.scalar(select(ApiKey.first_key_id).where(ApiKey.id == key_id))
        return Wish(order, source, f"key:{first or key_id}", self._terms)


def _hold(session: Session, key_id: int, image_pks: Sequence[int]) -> set[int]:
    """Hold images that nobody else holds, and return those; an image that was in no queue joins it while held."""
    images = select(Image.id, Image.source, literal(0.0), literal(False), literal(key_id), func.now() + CLAIM).where(
        Image.id.in_(image_pks), Image.erased_at.is_(None)
    )
    columns = ["image_pk", "source", "distance", "uncertain", "claimed_by", "claimed_until"]
    held = upsert(ReviewItem).from_select(columns, images.order_by(Image.id))
    mine = held.on_conflict_do_update(
        index_elements=[ReviewItem.image_pk],
        set_={"claimed_by": held.excluded.claimed_by, "claimed_until": held.excluded.claimed_until},
        where=or_(_is_free(), ReviewItem.claimed_by == key_id),
    )
    return set(session.scalars(mine.returning(ReviewItem.image_pk)))


def _held_by(key_id: int) -> ColumnElement[bool]:
    return (ReviewItem.claimed_by == key_id) & (ReviewItem.claimed_until > func.now())


def _is_free() -> ColumnElement[bool]:
    return or_(ReviewItem.claimed_until.is_(None), ReviewItem.claimed_until <= func.now())


def _waits_for_nobody() -> ColumnElement[bool]:
    return ~ReviewItem.uncertain & ReviewItem.disputed_at.is_(None)


def _passed(key_id: int, order: ReviewOrder) -> ColumnElement[bool]:
    image_pk: Any = Image.id if order in OUTSIDE_THE_QUEUE else ReviewItem.image_pk
    return exists().where(ReviewPass.image_pk == image_pk, ReviewPass.api_key_id == key_id)


def labelled_today(session: Session, reviewer: str | None) -> int:
    """Return how many images a reviewer, or for None anybody, has labelled since midnight UTC."""
    today = func.date_trunc("day", func.now(), "UTC")
    labels = select(func.count()).select_from(Label).where(Label.created_at >= today, Label.of_duplicate.is_(False))
    if reviewer is not None:
        labels = labels.where(Label.reviewer == reviewer)
    return session.scalar(labels) or 0
