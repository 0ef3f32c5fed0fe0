"""The table of scheduled duties: what runs beside dispatching, and how often. Each duty is a file of this folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from worker.database.appeals import Appeals
from worker.database.changes import Changes
from worker.database.drift import DriftMeasures
from worker.database.erasure import Erasure
from worker.database.exports import Exports, OldExports
from worker.database.fetches import Fetches
from worker.database.idempotency import Idempotency
from worker.database.look_alikes import LookAlikes
from worker.database.outbox import Outbox
from worker.database.pending_deletions import PendingDeletions
from worker.database.rescans import Rescans
from worker.database.retention import Retentions
from worker.database.session import Database
from worker.database.training_leases import TrainingLeases
from worker.database.workers import Workers
from worker.dispatch.schedule import ScheduledDuty
from worker.duties.changes import NumberChanges
from worker.duties.deletions import DeleteObjects
from worker.duties.drift import MeasureDrift
from worker.duties.look_alikes import GroupLookAlikes
from worker.duties.lost_workers import EndLostWorkers
from worker.duties.old_features import OldFeatures
from worker.duties.retention import Retain
from worker.duties.training_bell import RingTraining, TrainingBell
from worker.duties.webhooks import Sender
from worker.objects.transfer import Transfer


@dataclass(frozen=True)
class DutyTerms:
    """What the platform says of its duties; see the settings of these names.

    Attributes:
        sweep_seconds: between two sweeps of the upload buckets.
        feature_days: after which stored features go.
        canary_source: the source that holds photographs alone, if there is one.
        artifact_bucket: where what Assay writes itself lies.
        webhook_private_addresses: whether webhooks may go to addresses of private networks.
        webhook_ports: that webhooks may be sent to; any where there are none.
        webhook_disable_days: of failing after which an endpoint is disabled.
    """

    sweep_seconds: float
    feature_days: int
    canary_source: str | None
    artifact_bucket: str
    webhook_private_addresses: bool
    webhook_ports: tuple[int, ...]
    webhook_disable_days: float


def scheduled_duties(
    database: Database, terms: DutyTerms, sweep: Callable[[], object], store: Transfer, bell: TrainingBell
) -> dict[str, ScheduledDuty]:
    """Return every duty by its name in the table `duty`, with its period in seconds."""
    webhooks = Sender(
        Outbox(database),
        private=terms.webhook_private_addresses,
        ports=terms.webhook_ports,
        disable_after_days=terms.webhook_disable_days,
        wall=lambda: datetime.now(UTC).timestamp(),
    )
    rescans, changes, bucket = Rescans(database), Changes(database), terms.artifact_bucket
    lost_workers = EndLostWorkers(Workers(database), time.monotonic)
    training = RingTraining(TrainingLeases(database), bell)
    drift = MeasureDrift(DriftMeasures(database, terms.canary_source), rescans, terms.canary_source)
    retention = Retain(
        Retentions(database, bucket),
        Erasure(database, bucket),
        Idempotency(database),
        Appeals(database),
        {
            "changes": changes,
            "fetches": Fetches(database),
            "exports": OldExports(Exports(database, bucket)),
        },
    )
    return {
        "sweep": ScheduledDuty(terms.sweep_seconds, sweep),
        # It does nothing: when it was last done tells that a dispatcher lives.
        "alive": ScheduledDuty(5.0, lambda: None),
        "workers": ScheduledDuty(0.5, lost_workers, lost_workers.rests),
        "webhooks": ScheduledDuty(1.0, webhooks, webhooks.rests),
        "changes": ScheduledDuty(1.0, NumberChanges(changes), changes.all_numbered),
        "doomed": ScheduledDuty(10.0, DeleteObjects(PendingDeletions(database), store)),
        "training": ScheduledDuty(2.0, training, training.rests),
        "features": ScheduledDuty(3600.0, OldFeatures(database, terms.feature_days)),
        "drift": ScheduledDuty(3600.0, drift),
        "look_alikes": ScheduledDuty(10.0, GroupLookAlikes(LookAlikes(database))),
        "rescans": ScheduledDuty(1.0, rescans.step, rescans.rests),
        "retention": ScheduledDuty(3600.0, retention),
    }
