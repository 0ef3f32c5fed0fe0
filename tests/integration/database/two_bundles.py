"""Two bundles of which the second took the place of the first, for tests of rollbacks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from tests.conftest import Scanned
from worker.database.audit import Actor
from worker.database.bundles import register_bundle
from worker.database.promotion import Bundles
from worker.database.scans import ImageFacts, Lease, Scans
from worker.database.served import Queries, ServedImage
from worker.database.tables import Image, Scan, ScanKind, Verdict, WebhookDelivery
from worker.database.webhook_endpoints import Event, WebhookEndpoints
from worker.decisions.vocabulary import DecidedBy, VerdictValue

ME = Actor("me")
GOOD, BAD = "good", "bad"


@dataclass
class World:
    """A database where `bad` took the place of `good`, and the hands to go on."""

    scanned: Scanned

    @property
    def bundles(self) -> Bundles:
        return Bundles(self.scanned.database)

    def promote(self, version: str) -> None:
        with self.scanned.database.transaction() as session:
            register_bundle(session, version=version, name=version, location="x", card={})
        self.bundles.promote(ME, version, "better", force=True)

    def image(self, image_id: str, *verdicts: tuple[str, VerdictValue]) -> int:
        """Make an image whose live scan is over, with what bundles said of it, in order."""
        scan_id = self.scanned.arrive(image_id)
        with self.scanned.database.transaction() as session:
            scan = session.get_one(Scan, scan_id)
            scan.state, scan.due_at = "completed", None
            image_pk = scan.image_pk
        for bundle, verdict in verdicts:
            self.say(image_pk, bundle, verdict)
        return image_pk

    def say(self, image_pk: int, bundle: str, verdict: VerdictValue, **columns: Any) -> None:
        usual = {"image_pk": image_pk, "decided_by": DecidedBy.MACHINE, "detectors": {}, "provenance": {}}
        with self.scanned.database.transaction() as session:
            session.add(Verdict(**usual, verdict=verdict, bundle_version=bundle, policy_version=1, **columns))

    def served(self, image_id: str, as_of: datetime | None = None) -> ServedImage:
        served = Queries(self.scanned.database).served(image_id, as_of)
        assert served is not None
        return served

    def verdict(self, image_id: str, as_of: datetime | None = None) -> tuple[str, str | None] | None:
        verdict = self.served(image_id, as_of).verdict
        return None if verdict is None else (verdict.bundle_version or "person", verdict.verdict)

    def queued(self) -> list[tuple[str, str | None, str]]:
        """Image ids, bundles and queues of open rescans."""
        with self.scanned.database.transaction() as session:
            rows = select(Image.image_id, Scan.bundle_version, Scan.queue).join(Image, Image.id == Scan.image_pk)
            open_ = rows.where(Scan.kind == ScanKind.RESCAN, Scan.due_at.is_not(None)).order_by(Image.image_id)
            return [(image_id, version, queue) for image_id, version, queue in session.execute(open_)]

    def changes(self) -> list[tuple[str, str, str]]:
        """Image ids with the verdict that `verdict.changed` tells and the one before."""
        with self.scanned.database.transaction() as session:
            deliveries = select(WebhookDelivery).where(WebhookDelivery.event == Event.VERDICT_CHANGED)
            changes = []
            for delivery in session.scalars(deliveries.order_by(WebhookDelivery.id)):
                verdict = session.get_one(Verdict, delivery.payload["verdict_id"])
                image = session.get_one(Image, verdict.image_pk)
                changes.append((image.image_id, verdict.verdict, delivery.payload["previous"]))
            return changes

    def now(self) -> datetime:
        with self.scanned.database.transaction() as session:
            now: datetime = session.scalars(select(func.clock_timestamp())).one()
            return now

    def listen(self) -> None:
        WebhookEndpoints(self.scanned.database).add(ME, "https://platform.example/hook", [Event.VERDICT_CHANGED])

    def leased(self, queue: str) -> Lease:
        (scan_id,) = self.scanned.dispatch(queue)
        lease = Scans(self.scanned.database).lease(scan_id, 60)
        assert lease is not None
        return lease

    def complete(self, lease: Lease, verdict: VerdictValue) -> None:
        row = {"verdict": verdict, "decided_by": DecidedBy.MACHINE, "detectors": {}, "provenance": {}}
        versions = {"bundle_version": lease.bundle_version, "policy_version": lease.policy.version}
        Scans(self.scanned.database).complete(lease, {**row, **versions}, [], ImageFacts("0" * 64, 1, 1, 1), {})
