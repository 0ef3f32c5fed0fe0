"""What batches do beside registering images: their place in line, and who is told of their end."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.tables import Scan, ScanKind, ScanState
from worker.decisions.priority import Priority

_SOONER = text("interval '1 day'")


@dataclass(frozen=True)
class CallbackTarget:
    """Where a platform wants to be told of one image, and the endpoint whose secret signs it."""

    endpoint_id: int
    url: str


def place_in_line(session: Session, image_pks: Collection[int], priority: Priority) -> None:
    """Move images that still wait for their first scan to the front, or behind all live ones.

    The dispatcher takes what is due for the longest time first.
    """
    waiting = update(Scan).where(
        Scan.image_pk.in_(image_pks), Scan.kind == ScanKind.LIVE, Scan.state == ScanState.QUEUED, Scan.attempts == 0
    )
    if priority is Priority.HIGH:
        session.execute(waiting.values(queue=LIVE_QUEUE, due_at=func.now() - _SOONER))
    elif priority is Priority.LOW:
        session.execute(waiting.values(queue=BULK_QUEUE))


def call_back(session: Session, image_pks: Collection[int], target: CallbackTarget) -> None:
    """Let a platform be told once of what becomes of these images; at once of those that have ended."""
    for image_pk in sorted(image_pks):
        session.execute(select(func.assay_call_back(image_pk, target.endpoint_id, target.url)))
