"""Labels: what people say of an image. Each is served at once, as a human verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from worker.store.audit import Actor, record
from worker.store.queries import newest_image
from worker.store.session import Database
from worker.store.tables import Image, Label, LabelValue, Verdict
from worker.words import DecidedBy


@dataclass(frozen=True)
class Labelled:
    """A label just given, and the human verdict that came with it."""

    label: Label
    verdict: Verdict


class Labels:
    """The table of labels."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, actor: Actor, image_id: str, value: LabelValue, *, reviewer: str, reason: str) -> Labelled | None:
        """Label the newest version of an image and serve that as its verdict, in one transaction.

        Returns:
            What was written, or None when the image is unknown or erased.
        """
        with self._database.transaction() as session:
            # Held against an erasure at the same moment.
            image = session.scalar(newest_image(image_id).with_for_update(read=True))
            if image is None:
                return None
            label = Label(image_pk=image.id, label=value, reviewer=reviewer, reason=reason)
            verdict = Verdict(
                image_pk=image.id,
                verdict=value,
                decided_by=DecidedBy.HUMAN,
                detectors={},
                provenance={},
                reviewer=reviewer,
                reason=reason,
                source=image.source,
            )
            session.add_all((label, verdict))
            session.flush()
            session.refresh(label)
            session.refresh(verdict)
            record(session, actor, "label.add", f"image:{image.id}", label=value, verdict_id=verdict.id)
        return Labelled(label, verdict)

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
            found = session.scalars(labels).all()
            known = found or session.scalar(newest_image(image_id)) is not None
        return found if known else None
