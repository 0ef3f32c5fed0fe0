"""What platforms decided on images, with the verdicts of that moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.served import newest_image
from worker.database.serving_rule import served_verdict
from worker.database.session import Database
from worker.database.tables import Image, PlatformDecision, Verdict


@dataclass(frozen=True)
class DecisionCase:
    """A platform's decision and what it stood on.

    Attributes:
        decision: its row; None where the platform has told of none.
        served: the verdict that was served then.
        machine: what a machine had said by then.
    """

    decision: PlatformDecision | None
    served: Verdict | None = None
    machine: Verdict | None = None


class PlatformDecisions:
    """The table of platforms' decisions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, actor: Actor, image_id: str, terms: Mapping[str, Any]) -> PlatformDecision | None:
        """Write down a decision on the newest version of an image; None when the image is unknown or erased."""
        with self._database.transaction() as session:
            # Held against an erasure at the same moment.
            image = session.scalar(newest_image(image_id).with_for_update(read=True))
            if image is None:
                return None
            decision = PlatformDecision(image_pk=image.id, terms=dict(terms), api_key_id=actor.api_key_id)
            decision.verdict_id = session.scalar(select(served_verdict(image.id).c.id))
            decision.machine_verdict_id = session.scalar(select(served_verdict(image.id, by_machine=True).c.id))
            session.add(decision)
            session.flush()
            session.refresh(decision)
            record(session, actor, "decision.add", f"image:{image.id}", decision_id=decision.id)
        return decision

    def newest(self, image_id: str) -> DecisionCase | None:
        """Return the newest decision on an image; None when the image is unknown or erased."""
        with self._database.transaction() as session:
            image_pk = session.scalar(newest_image(image_id).with_only_columns(Image.id))
            if image_pk is None:
                return None
            of_image = select(PlatformDecision).where(PlatformDecision.image_pk == image_pk)
            decision = session.scalar(of_image.order_by(PlatformDecision.id.desc()).limit(1))
            if decision is None:
                return DecisionCase(None)
            ids = (decision.verdict_id, decision.machine_verdict_id)
            served, machine = (session.get(Verdict, one) if one is not None else None for one in ids)
        return DecisionCase(decision, served, machine)


def forget(session: Session, image_pks: Sequence[int]) -> None:
    """Let go of what platforms decided on erased images."""
    session.execute(delete(PlatformDecision).where(PlatformDecision.image_pk.in_(image_pks)))
