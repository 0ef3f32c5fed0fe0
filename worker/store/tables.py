"""The tables: what Assay knows, one class a table.

Words are those of the README. Times are timestamps with time zone, UTC.
Verdicts and policies are append-only; triggers in the first migration hold
that even against our own code.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import Text, Uuid

from worker.words import DecidedBy, VerdictValue

Json = dict[str, Any]


class ScanState(StrEnum):
    """Where a scan stands; the last three are final."""

    QUEUED = "queued"
    DISPATCHED = "dispatched"
    LEASED = "leased"
    COMPLETED = "completed"
    REJECTED = "rejected"
    DEAD = "dead"


class ScanKind(StrEnum):
    """Why a scan exists: an upload, a challenger in shadow, a rescan of history."""

    LIVE = "live"
    SHADOW = "shadow"
    RESCAN = "rescan"


class BundleRole(StrEnum):
    """What a registered bundle does: serve, scan in shadow, or rest."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    REGISTERED = "registered"


class RunState(StrEnum):
    """Where a training run stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    names = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({names})", name=column)


class Base(DeclarativeBase):
    """Holds the metadata; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declaration form.
        str: Text,
        datetime: DateTime(timezone=True),
        float: Double,
        Json: JSONB,
        list[str]: ARRAY(Text),
        UUID: Uuid,
    }


class Image(Base):
    """An object in the store: bucket, key and version; never a second row for one version."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("bucket", "key", "version"),
        Index("ix_image_image_id_stored_at_id", "image_id", "stored_at", "id"),
        Index("ix_image_sha256", "sha256"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_id: Mapped[str]  # the platform's own id
    source: Mapped[str]  # where on the platform it comes from; thresholds may differ
    bucket: Mapped[str]
    key: Mapped[str]
    version: Mapped[str]  # VersionId, else ETag
    versioned: Mapped[bool]  # whether `version` is a VersionId
    sha256: Mapped[str | None]  # of the bytes, hex, known once fetched
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    width: Mapped[int | None]
    height: Mapped[int | None]
    # When the store took it in; of the versions of an image the one stored last is served.
    stored_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    erased_at: Mapped[datetime | None]


class Bundle(Base):
    """A registered bundle; one champion at a time."""

    __tablename__ = "bundle"
    __table_args__ = (
        _one_of("role", BundleRole),
        Index("uq_bundle_champion", "role", unique=True, postgresql_where=text("role = 'champion'")),
    )

    version: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    location: Mapped[str]  # `shipped:NAME`, or a key prefix in the artifact bucket
    card: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    promoted_at: Mapped[datetime | None]


class Policy(Base):
    """A version of the rules that turn probabilities into verdicts; append-only."""

    __tablename__ = "policy"
    __table_args__ = (
        CheckConstraint("false_positive_budget > 0 AND false_positive_budget < 1", name="fp"),
        CheckConstraint("miss_budget > 0 AND miss_budget < 1", name="miss"),
    )

    version: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    prior_shift: Mapped[float]  # added to the calibrated logit
    false_positive_budget: Mapped[float]  # share of photographs that may be called AI-generated
    miss_budget: Mapped[float]  # share of AI-generated images that may be cleared
    by_source: Mapped[Json]  # source -> {false_positive_budget, miss_budget}
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Scan(Base):
    """One bundle over one image, and where that stands."""

    __tablename__ = "scan"
    __table_args__ = (
        _one_of("state", ScanState),
        _one_of("kind", ScanKind),
        Index("uq_scan_live", "image_pk", unique=True, postgresql_where=text("kind = 'live'")),
        Index("ix_scan_image_pk", "image_pk"),
        # The dispatcher's only question: what needs attention now, live before bulk.
        Index(
            "ix_scan_due",
            "queue",
            "due_at",
            postgresql_where=text("state IN ('queued', 'dispatched', 'leased')"),
        ),
        Index("ix_scan_state_id", "state", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"))
    kind: Mapped[str]
    queue: Mapped[str]  # Celery queue: `scan.live` or `scan.bulk`
    state: Mapped[str] = mapped_column(server_default=ScanState.QUEUED)
    # When this scan next needs the dispatcher: the next attempt of a queued
    # one, the end of the wait for a worker of a dispatched one, the end of the
    # lease of a leased one. Null once final.
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    bundle_version: Mapped[str | None] = mapped_column(ForeignKey("bundle.version"))
    lease_token: Mapped[UUID | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    lease_expiries: Mapped[int] = mapped_column(server_default="0")
    reason: Mapped[str | None]
    detail: Mapped[str | None]
    timings: Mapped[Json | None]  # stage -> milliseconds
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class Verdict(Base):
    """What was decided of an image, by whom, with which bundle and policy; append-only."""

    __tablename__ = "verdict"
    __table_args__ = (
        _one_of("verdict", VerdictValue),
        _one_of("decided_by", DecidedBy),
        CheckConstraint("probability >= 0 AND probability <= 1", name="probability"),
        CheckConstraint(
            "decided_by = 'human' OR (bundle_version IS NOT NULL AND policy_version IS NOT NULL)",
            name="machine_named",
        ),
        # Exactly one machine verdict for an image, bundle and policy version.
        Index(
            "uq_verdict_machine",
            "image_pk",
            "bundle_version",
            "policy_version",
            unique=True,
            postgresql_where=text("decided_by <> 'human'"),
        ),
        Index("ix_verdict_image_pk_id", "image_pk", "id"),
        Index("ix_verdict_created_at_id", "created_at", "id"),
        Index("ix_verdict_verdict_id", "verdict", "id"),
        Index("ix_verdict_scan_id", "scan_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"))
    scan_id: Mapped[int | None] = mapped_column(ForeignKey("scan.id"))
    verdict: Mapped[str]
    decided_by: Mapped[str]
    shadow: Mapped[bool] = mapped_column(server_default=text("false"))
    probability: Mapped[float | None]  # calibrated P(AI-generated), prior shift included
    lower_threshold: Mapped[float | None]
    upper_threshold: Mapped[float | None]
    detectors: Mapped[Json]  # name -> {logit, probability}
    provenance: Mapped[Json]
    bundle_version: Mapped[str | None] = mapped_column(ForeignKey("bundle.version"))
    policy_version: Mapped[int | None] = mapped_column(ForeignKey("policy.version"))
    reviewer: Mapped[str | None]
    reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Heatmap(Base):
    """Spatial evidence of one detector for one verdict; the pixels lie in the artifact bucket."""

    __tablename__ = "heatmap"
    __table_args__ = (UniqueConstraint("verdict_id", "detector"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    verdict_id: Mapped[int] = mapped_column(ForeignKey("verdict.id"))
    detector: Mapped[str]
    method: Mapped[str]
    layer: Mapped[str]
    bundle_version: Mapped[str] = mapped_column(ForeignKey("bundle.version"))
    key: Mapped[str]  # in the artifact bucket
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Label(Base):
    """Human ground truth for an image."""

    __tablename__ = "label"
    __table_args__ = (
        CheckConstraint("label IN ('ai_generated', 'not_ai_generated')", name="label"),
        Index("ix_label_image_pk_id", "image_pk", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"))
    label: Mapped[str]
    reviewer: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TrainingRun(Base):
    """A run that makes a bundle; its heartbeat lease owns it, not the message."""

    __tablename__ = "training_run"
    __table_args__ = (_one_of("state", RunState), Index("ix_training_run_state", "state"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    recipe: Mapped[str]
    parameters: Mapped[Json]
    state: Mapped[str] = mapped_column(server_default=RunState.QUEUED)
    progress: Mapped[Json | None]
    lease_token: Mapped[UUID | None]
    heartbeat_at: Mapped[datetime | None]
    bundle_version: Mapped[str | None] = mapped_column(ForeignKey("bundle.version"))
    detail: Mapped[str | None]
    requested_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class Duty(Base):
    """A scheduled duty of the dispatcher, each run under a lock on its row."""

    __tablename__ = "schedule"

    name: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    last_started_at: Mapped[datetime | None]
    last_finished_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class ApiKey(Base):
    """A key of the API; only its hash is kept."""

    __tablename__ = "api_key"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)  # SHA-256 of the key, hex
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class WebhookEndpoint(Base):
    """Where a platform wants to be told."""

    __tablename__ = "webhook_endpoint"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]  # signs what is sent, so it cannot be a hash
    events: Mapped[list[str]]
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookDelivery(Base):
    """The outbox: one message for one endpoint, written with what it tells of."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_endpoint_id_id", "endpoint_id", "id"),
        Index("ix_webhook_delivery_due", "due_at", postgresql_where=text("delivered_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoint.id"))
    event: Mapped[str]
    payload: Mapped[Json]
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
