"""Which images the review desk offers, and in which order; each order is answered from an index."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlalchemy.orm import aliased

from worker.database.label_agreement import LabelTerms, audit_place, in_audit
from worker.database.tables import Appeal, Image, Label, ReviewCluster, ReviewItem, Verdict
from worker.decisions.appeal import AppealState


class ReviewOrder(StrEnum):
    """Which images come first."""

    UNCERTAIN = "uncertain"
    NEWEST = "newest"
    OLDEST = "oldest"
    CLUSTERS = "clusters"
    DISPUTED = "disputed"
    AUDIT = "audit"
    APPEALS = "appeals"


# Images of these need not be uncertain, so most of them are in no queue until somebody holds them.
OUTSIDE_THE_QUEUE = frozenset({ReviewOrder.AUDIT, ReviewOrder.APPEALS})


@dataclass(frozen=True)
class Wish:
    """What a reviewer works on.

    Attributes:
        order: which images come first.
        source: images of this source alone; None for all.
        voice: of the reviewer, as labels name it.
        audit: which contents are the audit slice.
    """

    order: ReviewOrder
    source: str | None
    voice: str
    audit: LabelTerms


def select_images(wish: Wish) -> Select[Any]:
    """Return the statement for all images that a wish covers, in their order: `image_pk`, held ones included."""
    statement = _STATEMENTS[wish.order](wish)
    if wish.source is None:
        return statement
    return statement.where((Image if wish.order in OUTSIDE_THE_QUEUE else ReviewItem).source == wish.source)


def _first_look(*first: ColumnElement[Any]) -> Callable[[Wish], Select[Any]]:
    def statement(wish: Wish) -> Select[Any]:
        del wish
        return select(ReviewItem.image_pk).where(ReviewItem.uncertain).order_by(*first)

    return statement


def _clusters(wish: Wish) -> Select[Any]:
    del wish
    largest_first = (ReviewCluster.images.desc(), ReviewCluster.id, ReviewItem.distance, ReviewItem.image_pk)
    items = select(ReviewItem.image_pk).join(ReviewCluster, ReviewCluster.id == ReviewItem.cluster)
    return items.where(ReviewItem.uncertain).order_by(*largest_first)


def _disputed(wish: Wish) -> Select[Any]:
    """Each reviewer is asked once for each dispute; who disagreed before may think again."""
    own = exists().where(
        Label.image_pk == ReviewItem.image_pk, Label.voice == wish.voice, Label.created_at >= ReviewItem.disputed_at
    )
    items = select(ReviewItem.image_pk).where(ReviewItem.disputed_at.is_not(None), ~own)
    return items.order_by(ReviewItem.disputed_at, ReviewItem.image_pk)


def _audit(wish: Wish) -> Select[Any]:
    """Contents in the order of their hashes: whoever labels from the first one on has a random sample at any time."""
    copy = aliased(Image)
    labels = select(Label.id).join(copy, copy.id == Label.image_pk).where(copy.sha256 == Image.sha256)
    earlier = exists().where(
        copy.sha256 == Image.sha256, copy.id < Image.id, copy.erased_at.is_(None)
    )  # one image of each content
    verdicts = exists().where(Verdict.image_pk == Image.id, Verdict.shadow.is_(False))
    return (
        select(Image.id.label("image_pk"))
        .outerjoin(ReviewItem, ReviewItem.image_pk == Image.id)
        .where(in_audit(wish.audit), Image.erased_at.is_(None), ~labels.exists(), ~earlier, verdicts)
        .order_by(audit_place, Image.id)
    )


def _appeals(wish: Wish) -> Select[Any]:
    """Appeals that this reviewer may decide, the one due first."""
    before = aliased(Appeal)
    own = or_(
        exists().where(Label.image_pk == Appeal.image_pk, Label.voice == wish.voice),
        exists().where(before.image_pk == Appeal.image_pk, before.voice == wish.voice),
    )
    return (
        select(Appeal.image_pk)
        .join(Image, and_(Image.id == Appeal.image_pk, Image.erased_at.is_(None)))
        .outerjoin(ReviewItem, ReviewItem.image_pk == Appeal.image_pk)
        .where(Appeal.state == AppealState.OPEN, ~own)
        .order_by(Appeal.due_at, Appeal.id)
    )


_STATEMENTS: Mapping[ReviewOrder, Callable[[Wish], Select[Any]]] = {
    ReviewOrder.UNCERTAIN: _first_look(ReviewItem.distance.asc(), ReviewItem.image_pk.asc()),
    ReviewOrder.NEWEST: _first_look(ReviewItem.queued_at.desc(), ReviewItem.image_pk.desc()),
    ReviewOrder.OLDEST: _first_look(ReviewItem.queued_at.asc(), ReviewItem.image_pk.asc()),
    ReviewOrder.CLUSTERS: _clusters,
    ReviewOrder.DISPUTED: _disputed,
    ReviewOrder.AUDIT: _audit,
    ReviewOrder.APPEALS: _appeals,
}
