"""The tables: what Assay knows, one class a table, one file a noun.

Words are those of the README. Times are timestamps with time zone, UTC.
Verdicts and policies are append-only; triggers in the first migration hold
that even against our own code.
"""

from worker.database.tables.api_keys import ApiKey
from worker.database.tables.audit import AuditEntry, IdempotentRequest
from worker.database.tables.bundles import Bundle, BundleRole, Promotion
from worker.database.tables.console_sessions import ConsoleSession
from worker.database.tables.declaration import Base, Json
from worker.database.tables.drift import Drift
from worker.database.tables.features import Feature
from worker.database.tables.images import Image
from worker.database.tables.labels import Label, LabelValue, Reviewer
from worker.database.tables.policies import Policy
from worker.database.tables.rescans import Rescan, RescanState
from worker.database.tables.retention import DoomedObject, Retention
from worker.database.tables.review import ReviewItem, ReviewPass
from worker.database.tables.scans import OPEN_STATES, Scan, ScanKind, ScanState
from worker.database.tables.schedule import Duty
from worker.database.tables.training_runs import RunState, TrainingEvent, TrainingRun
from worker.database.tables.verdicts import Heatmap, Verdict
from worker.database.tables.webhooks import WebhookDelivery, WebhookEndpoint

__all__ = [
    "OPEN_STATES",
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
    "ReviewItem",
    "ReviewPass",
    "Reviewer",
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
