"""The tables: what Assay knows, one class a table, one file a noun.

Words are those of the README. Times are timestamps with time zone, UTC.
Verdicts and policies are append-only; triggers in the first migration hold
that even against our own code.
"""

from worker.database.tables.api_keys import ApiKey
from worker.database.tables.appeals import Appeal
from worker.database.tables.audit import AuditEntry, IdempotentRequest
from worker.database.tables.bundles import Bundle, BundleRole, Promotion
from worker.database.tables.changes import Change
from worker.database.tables.console_sessions import ConsoleSession, SignIn
from worker.database.tables.declaration import Base, Json
from worker.database.tables.drift import Drift
from worker.database.tables.exports import Export, ExportContent, ExportFormat, ExportState
from worker.database.tables.features import Feature
from worker.database.tables.fetches import Callback, Fetch
from worker.database.tables.image_contexts import ImageContext
from worker.database.tables.images import Image, Thumbnail
from worker.database.tables.labels import Label, LabelValue, Reviewer
from worker.database.tables.platform_decisions import PlatformDecision
from worker.database.tables.policies import Policy
from worker.database.tables.rescans import Rescan, RescanState
from worker.database.tables.retention import DoomedObject, Retention
from worker.database.tables.review import ReviewCluster, ReviewItem, ReviewPass, ReviewTerms
from worker.database.tables.saved_views import SavedView
from worker.database.tables.scans import EVIDENCE_KINDS, OPEN_STATES, Scan, ScanKind, ScanState
from worker.database.tables.schedule import Duty
from worker.database.tables.training_runs import RunState, TrainingEvent, TrainingRun
from worker.database.tables.verdicts import Heatmap, Verdict
from worker.database.tables.webhooks import WebhookDelivery, WebhookEndpoint
from worker.database.tables.workers import Worker

__all__ = [
    "EVIDENCE_KINDS",
    "OPEN_STATES",
    "ApiKey",
    "Appeal",
    "AuditEntry",
    "Base",
    "Bundle",
    "BundleRole",
    "Callback",
    "Change",
    "ConsoleSession",
    "DoomedObject",
    "Drift",
    "Duty",
    "Export",
    "ExportContent",
    "ExportFormat",
    "ExportState",
    "Feature",
    "Fetch",
    "Heatmap",
    "IdempotentRequest",
    "Image",
    "ImageContext",
    "Json",
    "Label",
    "LabelValue",
    "PlatformDecision",
    "Policy",
    "Promotion",
    "Rescan",
    "RescanState",
    "Retention",
    "ReviewCluster",
    "ReviewItem",
    "ReviewPass",
    "ReviewTerms",
    "Reviewer",
    "RunState",
    "SavedView",
    "Scan",
    "ScanKind",
    "ScanState",
    "SignIn",
    "Thumbnail",
    "TrainingEvent",
    "TrainingRun",
    "Verdict",
    "WebhookDelivery",
    "WebhookEndpoint",
    "Worker",
]
