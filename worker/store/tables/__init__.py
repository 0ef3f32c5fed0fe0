"""The tables: what Assay knows, one class a table, one file a noun.

Words are those of the README. Times are timestamps with time zone, UTC.
Verdicts and policies are append-only; triggers in the first migration hold
that even against our own code.
"""

from worker.store.tables.api_keys import ApiKey
from worker.store.tables.audit import AuditEntry, IdempotentRequest
from worker.store.tables.bundles import Bundle, BundleRole, Promotion
from worker.store.tables.console_sessions import ConsoleSession
from worker.store.tables.declaration import Base, Json
from worker.store.tables.drift import Drift
from worker.store.tables.features import Feature
from worker.store.tables.images import Image
from worker.store.tables.labels import Label, LabelValue
from worker.store.tables.policies import Policy
from worker.store.tables.rescans import Rescan, RescanState
from worker.store.tables.retention import DoomedObject, Retention
from worker.store.tables.scans import Scan, ScanKind, ScanState
from worker.store.tables.schedule import Duty
from worker.store.tables.training_runs import RunState, TrainingEvent, TrainingRun
from worker.store.tables.verdicts import Heatmap, Verdict
from worker.store.tables.webhooks import WebhookDelivery, WebhookEndpoint

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Base",
    "Bundle",
    "BundleRole",
    "ConsoleSession",
    "DoomedObject",
    "Drift",
    "Duty",
    "Feature",
    "Heatmap",
    "IdempotentRequest",
    "Image",
    "Json",
    "Label",
    "LabelValue",
    "Policy",
    "Promotion",
    "Rescan",
    "RescanState",
    "Retention",
    "RunState",
    "Scan",
    "ScanKind",
    "ScanState",
    "TrainingEvent",
    "TrainingRun",
    "Verdict",
    "WebhookDelivery",
    "WebhookEndpoint",
]
