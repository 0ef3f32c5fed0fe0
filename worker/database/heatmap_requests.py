"""Heatmaps that somebody asks for: a scan of its own kind, which dispatcher and workers treat like any other."""

from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.audit import Actor, record
from worker.database.images import LIVE_QUEUE
from worker.database.served import newest_image
from worker.database.serving_rule import served_verdict
from worker.database.session import Database
from worker.database.tables import OPEN_STATES, Heatmap, Scan, ScanKind, Verdict
from worker.errors import AssayError


class NotJudgedError(AssayError):
    """No bundle has judged this image yet, so there is nothing to explain; ask again when it has a verdict."""


@dataclass(frozen=True)
class HeatmapRequest:
    """What became of a request: the heatmaps are there, or the scan that makes them."""

    ready: bool
    scan_id: int | None = None


class HeatmapRequests:
    """Queues heatmaps for the newest version of an image, once however often they are asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, actor: Actor, image_id: str) -> HeatmapRequest | None:
        """Queue the heatmaps of what was said last of an image by a bundle that is not in shadow.

        Returns:
            None when the image is unknown or erased.

        Raises:
            NotJudgedError: nothing was said yet.
        """
        with self._database.transaction() as session:
            # Held against an erasure at the same moment.
            image = session.scalar(newest_image(image_id).with_for_update(read=True))
            if image is None:
                return None
            served = served_verdict(image.id, by_machine=True)
            verdict = session.scalar(select(Verdict).join(served, served.c.id == Verdict.id))
            if verdict is None:
                raise NotJudgedError
            if session.scalar(select(exists().where(Heatmap.verdict_id == verdict.id))):
                return HeatmapRequest(ready=True)
            named = {"image_pk": image.id, "kind": ScanKind.HEATMAP, "bundle_version": verdict.bundle_version}
            new = upsert(Scan).values(**named, queue=LIVE_QUEUE).on_conflict_do_nothing().returning(Scan.id)
            scan_id = session.scalar(new)
            if scan_id is not None:
                record(session, actor, "heatmap.ask", f"image:{image.id}", scan_id=scan_id)
                return HeatmapRequest(ready=False, scan_id=scan_id)
            under_way = select(Scan.id).filter_by(**named).where(Scan.state.in_(OPEN_STATES))
            # It may have ended since it stood in the way; then the heatmaps are there.
            scan_id = session.scalar(under_way)
        return HeatmapRequest(ready=scan_id is None, scan_id=scan_id)
