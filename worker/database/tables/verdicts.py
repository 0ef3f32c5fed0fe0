"""Verdicts and the heatmaps that belong to them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    FetchedValue,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json, one_of
from worker.decisions.vocabulary import DecidedBy, VerdictValue

# Spelt as Postgres spells it, so that models and migrations can be compared.
_PERCENT = "(LEAST(floor((probability * (100)::double precision)), (99)::double precision))::smallint"


def _search(name: str, *columns: str, include: Sequence[str] = ()) -> Index:
    return Index(
        name, *columns, "created_at", "id", postgresql_where=text("NOT shadow"), postgresql_include=list(include)
    )


class Verdict(Base):
    """What was decided of an image, by whom, with which bundle and policy; append-only."""

    __tablename__ = "verdict"
    __table_args__ = (
        one_of("verdict", VerdictValue),
        one_of("decided_by", DecidedBy),
        CheckConstraint("probability >= 0 AND probability <= 1", name="probability"),
        CheckConstraint(
            "decided_by = 'human' OR (bundle_version IS NOT NULL AND policy_version IS NOT NULL)",
            name="machine_named",
        ),
        # Exactly one machine verdict for an image, bundle and policy version; a challenger's, never served, stands
        # beside the one that it gives once it is champion.
        Index(
            "uq_verdict_machine",
            "image_pk",
            "bundle_version",
            "policy_version",
            "shadow",
            unique=True,
            postgresql_where=text("decided_by <> 'human'"),
        ),
        Index("ix_verdict_image_pk_id", "image_pk", "id"),
        Index("ix_verdict_created_at_id", "created_at", "id"),
        # Every search is read from one of these in the order it is shown; see worker/database/search.py.
        _search("ix_verdict_search", "verdict"),
        _search("ix_verdict_search_percent", "verdict", "percent", include=["probability"]),
        _search("ix_verdict_search_source", "source", "verdict"),
        _search("ix_verdict_search_source_percent", "source", "verdict", "percent", include=["probability"]),
        Index("ix_verdict_scan_id", "scan_id"),
        # One for the content, however many images have it: what the next image of the same bytes asks for.
        Index(
            "ix_verdict_content",
            "content",
            "bundle_version",
            "policy_version",
            "id",
            postgresql_where=text("content IS NOT NULL"),
        ),
        Index("ix_verdict_frame", "created_at", postgresql_where=text("frame_key IS NOT NULL")),
        Index("ix_verdict_shadow", "bundle_version", "id", postgresql_where=text("shadow")),
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
    frames: Mapped[Json | None]  # of an animation, see worker/decisions/frames.py
    frame_key: Mapped[str | None]  # a picture of its gravest frame, in the artifact bucket
    bundle_version: Mapped[str | None] = mapped_column(ForeignKey("bundle.version"))
    policy_version: Mapped[int | None] = mapped_column(ForeignKey("policy.version"))
    content: Mapped[str | None]  # the image's SHA-256, where this verdict is the one that duplicates point at
    duplicate_of: Mapped[int | None] = mapped_column(ForeignKey("verdict.id"))  # the verdict whose scores these are
    reviewer: Mapped[str | None]
    reason: Mapped[str | None]
    source: Mapped[str] = mapped_column(server_default=FetchedValue())  # the image's; a trigger fills it when left out
    # Whole percent of the probability, 0 to 99, so that a range of probabilities is a few equalities for an index.
    percent: Mapped[int | None] = mapped_column(SmallInteger, Computed(_PERCENT, persisted=True))
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
    key: Mapped[str]  # the overlay, in the artifact bucket
    raw_key: Mapped[str | None]  # the map itself as .npy, likewise
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
