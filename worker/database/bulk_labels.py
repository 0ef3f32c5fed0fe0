"""Many images labelled at once: first what would change, then all of it in one transaction, or none."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, true
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.labels import add_label, given_by
from worker.database.served import newest_image
from worker.database.serving_rule import served_verdict
from worker.database.session import Database
from worker.database.tables import Image, LabelValue, Verdict
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.errors import AssayError

MOST_AT_ONCE = 200


class ChangedMeanwhileError(AssayError):
    """People decided some of these images since the preview. Nothing was saved; look at the preview again."""


@dataclass(frozen=True)
class BulkChange:
    """What a label would do to one image.

    Attributes:
        image_id: the platform's own id.
        image_pk: of its newest version.
        before: what is served now; None while there is no verdict.
        person: who decided that, where it was a person; None for a machine's verdict.
        copies: other images of the same bytes that the label reaches too.
    """

    image_id: str
    image_pk: int
    before: VerdictValue | None
    person: str | None
    copies: int


@dataclass(frozen=True)
class BulkPreview:
    """What a label would do to many images.

    Attributes:
        changes: one for each image that is known, in the order given.
        unknown: ids that are unknown or erased.
        newest_verdict: id of the newest of all verdicts; what people decide later stops the labels.
    """

    changes: Sequence[BulkChange]
    unknown: Sequence[str]
    newest_verdict: int

    @property
    def reach(self) -> int:
        """How many images get a new verdict, copies included."""
        return len(self.changes) + sum(change.copies for change in self.changes)


class BulkLabels:
    """Labels many images at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def preview(self, image_ids: Sequence[str]) -> BulkPreview:
        """Return what a label would change; nothing is written."""
        with self._database.transaction() as session:
            newest = session.scalar(select(func.max(Verdict.id))) or 0
            rows = {image_id: _change(session, image_id) for image_id in dict.fromkeys(image_ids)}
        changes = [change for change in rows.values() if change is not None]
        return BulkPreview(changes, [image_id for image_id, change in rows.items() if change is None], newest)

    def add(
        self, actor: Actor, image_ids: Sequence[str], value: LabelValue, *, reviewer: str, reason: str, upto: int
    ) -> int:
        """Label images, all of them in one transaction; those that are unknown or erased are left out.

        Args:
            actor: who labels.
            image_ids: at most :data:`MOST_AT_ONCE`.
            value: what they are.
            reviewer: shown name.
            reason: for each of them.
            upto: `newest_verdict` of the preview that was looked at.

        Returns:
            How many images got a new verdict, copies included.

        Raises:
            ChangedMeanwhileError: a person decided one of them since.
        """
        with self._database.transaction() as session:
            images = _held(session, image_ids)
            if _decided_since(session, images, upto):
                raise ChangedMeanwhileError
            label = given_by(session, actor, value, reviewer=reviewer, reason=reason)
            reached: set[int] = set()
            for image in images:
                if image.id not in reached:
                    _, _, copies = add_label(session, actor, image, label)
                    reached |= {image.id, *(copy.id for copy in copies)}
            record(session, actor, "label.bulk", "images", label=value, images=len(images), reached=len(reached))
        return len(reached)


def _change(session: Session, image_id: str) -> BulkChange | None:
    newest = newest_image(image_id).subquery("newest")
    served = served_verdict(newest.c.id)
    verdict = select(newest.c.id, newest.c.sha256, Verdict.verdict, Verdict.decided_by, Verdict.reviewer)
    joined = verdict.select_from(newest).outerjoin(served, true()).outerjoin(Verdict, Verdict.id == served.c.id)
    row = session.execute(joined).one_or_none()
    if row is None:
        return None
    copies = select(func.count()).where(Image.sha256 == row.sha256, Image.id != row.id, Image.erased_at.is_(None))
    return BulkChange(
        image_id,
        row.id,
        VerdictValue(row.verdict) if row.verdict else None,
        row.reviewer or "a person" if row.decided_by == DecidedBy.HUMAN else None,
        session.scalar(copies) or 0 if row.sha256 else 0,
    )


def _held(session: Session, image_ids: Sequence[str]) -> Sequence[Image]:
    """Return the newest versions, held against erasure, in an order that two callers share."""
    rows = (session.scalar(newest_image(image_id)) for image_id in dict.fromkeys(image_ids[:MOST_AT_ONCE]))
    pks = [image.id for image in rows if image is not None]
    held = select(Image).where(Image.id.in_(pks), Image.erased_at.is_(None)).order_by(Image.sha256, Image.id)
    return session.scalars(held.with_for_update(read=True)).all()


def _decided_since(session: Session, images: Sequence[Image], upto: int) -> bool:
    later = select(Verdict.id).where(Verdict.image_pk.in_([image.id for image in images]), Verdict.id > upto)
    return session.scalar(later.where(Verdict.decided_by == DecidedBy.HUMAN).limit(1)) is not None
