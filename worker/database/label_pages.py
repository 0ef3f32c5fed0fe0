"""Pages of labelled contents: labels are walked from the newest on, so a page costs what it shows and no history."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from worker.database.label_agreement import LabelState, LabelTerms, Standing, standing_of, standings
from worker.database.session import Database
from worker.database.tables import Image, Label

# Labels looked at in one step, the first and all later ones, and for one page: beyond, the page is cut short.
_FIRST_STEP, _STEP, _MOST_EXAMINED = 200, 1_000, 5_000


@dataclass(frozen=True)
class LabelPage:
    """Labelled contents, the one labelled last first.

    Attributes:
        items: may be fewer than were asked for where few labels are of the wanted kind.
        before: id of a label that the next page starts below; None at the end.
    """

    items: Sequence[Standing]
    before: int | None


@dataclass(frozen=True)
class Restrictions:
    """Which contents are wanted; None stands for any."""

    state: LabelState | None = None
    audit: bool | None = None


class LabelPages:
    """Reads labelled contents page by page."""

    def __init__(self, database: Database, terms: LabelTerms) -> None:
        self._database = database
        self._terms = terms

    def page(
        self, *, limit: int, before: int | None = None, state: LabelState | None = None, audit: bool | None = None
    ) -> LabelPage:
        """Return labelled contents, the one labelled last first, those whose newest label is below ``before``."""
        items: list[Standing] = []
        examined, step, restrictions = 0, max(_FIRST_STEP, 2 * limit), Restrictions(state, audit)
        with self._database.transaction() as session:
            while examined < _MOST_EXAMINED:
                labels = _labels_below(session, before, step)
                items += _newest_among(session, self._terms, labels, restrictions)
                if len(items) > limit:
                    return LabelPage(items[:limit], items[limit - 1].newest_id)
                if len(labels) < step:
                    return LabelPage(items, None)
                before, examined, step = labels[-1].id, examined + step, _STEP
        return LabelPage(items, before)


def _labels_below(session: Session, before: int | None, most: int) -> Sequence[Any]:
    """Return labels of images that are not erased, newest first: their ids, and what names their contents."""
    labels = select(Label.id, Image.sha256, Image.id.label("image_pk")).join(Image, Image.id == Label.image_pk)
    labels = labels.where(Image.erased_at.is_(None)).order_by(Label.id.desc()).limit(most)
    return session.execute(labels if before is None else labels.where(Label.id < before)).all()


def _newest_among(
    session: Session, terms: LabelTerms, labels: Sequence[Any], restrictions: Restrictions
) -> list[Standing]:
    """Return the wanted contents whose newest label is one of these; others stand on other pages."""
    if not labels:
        return []
    contents = standings(terms, among=_of_contents(labels))
    # By ids alone: the contents of these labels may have newer ones, which were shown before, or were erased since.
    newest = select(contents, Image).join(Image, Image.id == contents.c.image_pk)
    newest = newest.where(contents.c.newest_id.between(labels[-1].id, labels[0].id))
    if restrictions.state is not None:
        newest = newest.where(contents.c.state == restrictions.state)
    if restrictions.audit is not None:
        newest = newest.where(contents.c.audit == restrictions.audit)
    return [standing_of(row) for row in session.execute(newest.order_by(contents.c.newest_id.desc()))]


def _of_contents(labels: Sequence[Any]) -> ColumnElement[bool]:
    hashes = sorted({label.sha256 for label in labels if label.sha256 is not None})
    unread = [label.image_pk for label in labels if label.sha256 is None]
    return or_(Image.sha256.in_(hashes), and_(Image.sha256.is_(None), Image.id.in_(unread)))
