"""Labels: what people say of an image. Each is served at once as a human verdict, for images of the same bytes too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.reviewers import voice_of
from worker.database.served import newest_image
from worker.database.session import Database
from worker.database.tables import Image, Label, LabelValue, Verdict
from worker.decisions.vocabulary import DecidedBy


@dataclass(frozen=True)
class AddedLabel:
    """A label just given.

    Attributes:
        label: its row; `voice` tells whose word it is.
        verdict: the human verdict that came with it.
        duplicates: how many other images of the same bytes it reached.
    """

    label: Label
    verdict: Verdict
    duplicates: int


class Labels:
    """The table of labels."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, actor: Actor, image_id: str, value: LabelValue, *, reviewer: str, reason: str) -> AddedLabel | None:
        """Label the newest version of an image and serve that as its verdict, in one transaction.

        The reviewer's name is shown and audited; whose word the label counts as, :func:`voice_of` tells.

        Images of the same bytes get label and verdict too. Those whose bytes are not known yet get them from the
        database when they are; see the migration ``label_duplicates``.

        Returns:
            What was written, or None when the image is unknown or erased.
        """
        with self._database.transaction() as session:
            # Held against an erasure at the same moment.
            image = session.scalar(newest_image(image_id).with_for_update(read=True))
            if image is None:
                return None
            fields = given_by(session, actor, value, reviewer=reviewer, reason=reason)
            label, verdict, copies = add_label(session, actor, image, fields)
            session.refresh(label)
            session.refresh(verdict)
        return AddedLabel(label, verdict, len(copies))

    def of(self, image_id: str, *, limit: int, before: int | None = None) -> Sequence[Label] | None:
        """Return the labels of all versions of an image, newest first, those with ids below ``before``.

        Returns:
            At most ``limit`` labels, or None when the image is unknown or erased.
        """
        labels = (
            select(Label)
            .join(Image, Label.image_pk == Image.id)
            .where(Image.image_id == image_id, Image.erased_at.is_(None))
            .order_by(Label.id.desc())
            .limit(limit)
        )
        if before is not None:
            labels = labels.where(Label.id < before)
        with self._database.transaction() as session:
            newest = session.scalars(labels).all()
            exists = newest or session.scalar(newest_image(image_id)) is not None
        return newest if exists else None


def given_by(session: Session, actor: Actor, value: LabelValue, *, reviewer: str, reason: str) -> dict[str, Any]:
    """Return what a label says, and whose word it is: columns of its row."""
    return {"label": value, "reviewer": reviewer, "reason": reason, "voice": voice_of(session, actor, reviewer)}


def add_label(
    session: Session, actor: Actor, image: Image, fields: Mapping[str, Any]
) -> tuple[Label, Verdict, Sequence[Image]]:
    """Label an image that is held against erasure, and all images of its bytes, in the caller's transaction.

    Returns:
        Its label, its verdict, and the other images that were reached.
    """
    label, verdict = _add_one(session, image, fields, of_duplicate=False)
    copies = _duplicates(session, image)
    for copy in copies:
        _add_one(session, copy, fields, of_duplicate=True)
    session.flush()
    detail = {"label": fields["label"], "reviewer": fields["reviewer"], "verdict_id": verdict.id}
    record(session, actor, "label.add", f"image:{image.id}", **detail, duplicates=len(copies))
    return label, verdict, copies


def _add_one(session: Session, image: Image, fields: Mapping[str, Any], *, of_duplicate: bool) -> tuple[Label, Verdict]:
    label = Label(image_pk=image.id, **fields, of_duplicate=of_duplicate)
    verdict = Verdict(
        image_pk=image.id,
        verdict=fields["label"],
        decided_by=DecidedBy.HUMAN,
        detectors={},
        provenance={},
        reviewer=fields["reviewer"],
        reason=fields["reason"],
        source=image.source,
    )
    session.add_all((label, verdict))
    return label, verdict


def _duplicates(session: Session, image: Image) -> Sequence[Image]:
    """Return the other images of the same bytes, held against erasure; none where the bytes are not known yet."""
    if image.sha256 is None:
        return []
    # An image that learns at this moment that it has these bytes waits, or has been waited for.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"assay.content.{image.sha256}"))))
    others = select(Image).where(Image.sha256 == image.sha256, Image.id != image.id, Image.erased_at.is_(None))
    return session.scalars(others.order_by(Image.id).with_for_update(read=True)).all()
