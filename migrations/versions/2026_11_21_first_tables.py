"""first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_21_first_tables"
down_revision = None
branch_labels = None
depends_on = None


_APPEND_ONLY = ("verdict", "policy")

# Erasure is the one audited exception: it sets `assay.erasing` for its own
# transaction, and even then rows are changed, never deleted.
_FORBID = """
CREATE FUNCTION assay_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND current_setting('assay.erasing', true) = 'on' THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'restrict_violation';
END $$
"""


def upgrade() -> None:
    """Make every table, and hold verdicts and policies append-only in the database."""
    op.create_table(
        "api_key",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_key_hash")),
    )
    op.create_table(
        "bundle",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("card", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('champion', 'challenger', 'registered')", name=op.f("ck_bundle_role")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_bundle")),
    )
    op.create_index(
        "uq_bundle_champion",
        "bundle",
        ["role"],
        unique=True,
        postgresql_where=sa.text("role = 'champion'"),
    )
    op.create_table(
        "image",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("versioned", sa.Boolean(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column(
            "stored_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("bucket", "key", "version", name=op.f("uq_image_bucket_key_version")),
    )
    op.create_index("ix_image_image_id_stored_at_id", "image", ["image_id", "stored_at", "id"], unique=False)
    op.create_index("ix_image_sha256", "image", ["sha256"], unique=False)
    op.create_table(
        "policy",
        sa.Column("version", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("prior_shift", sa.Double(), nullable=False),
        sa.Column("false_positive_budget", sa.Double(), nullable=False),
        sa.Column("miss_budget", sa.Double(), nullable=False),
        sa.Column("by_source", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("false_positive_budget > 0 AND false_positive_budget < 1", name=op.f("ck_policy_fp")),
        sa.CheckConstraint("miss_budget > 0 AND miss_budget < 1", name=op.f("ck_policy_miss")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_policy")),
    )
    op.create_table(
        "schedule",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedule")),
    )
    op.create_index(op.f("ix_schedule_due_at"), "schedule", ["due_at"], unique=False)
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_table(
        "label",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("image_pk", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("label IN ('ai_generated', 'not_ai_generated')", name=op.f("ck_label_label")),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_label_image_pk")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
    )
    op.create_index("ix_label_image_pk_id", "label", ["image_pk", "id"], unique=False)
    op.create_table(
        "scan",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("image_pk", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=True),
        sa.Column("bundle_version", sa.Text(), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_expiries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("timings", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('live', 'shadow', 'rescan')", name=op.f("ck_scan_kind")),
        sa.CheckConstraint(
            "state IN ('queued', 'dispatched', 'leased', 'completed', 'rejected', 'dead')",
            name=op.f("ck_scan_state"),
        ),
        sa.ForeignKeyConstraint(["bundle_version"], ["bundle.version"], name=op.f("fk_scan_bundle_version")),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_scan_image_pk")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scan")),
    )
    op.create_index(
        "ix_scan_due",
        "scan",
        ["queue", "due_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'dispatched', 'leased')"),
    )
    op.create_index("ix_scan_image_pk", "scan", ["image_pk"], unique=False)
    op.create_index("ix_scan_state_id", "scan", ["state", "id"], unique=False)
    op.create_index("uq_scan_live", "scan", ["image_pk"], unique=True, postgresql_where=sa.text("kind = 'live'"))
    op.create_table(
        "training_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("progress", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bundle_version", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_training_run_state"),
        ),
        sa.ForeignKeyConstraint(["bundle_version"], ["bundle.version"], name=op.f("fk_training_run_bundle_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_run")),
    )
    op.create_index("ix_training_run_state", "training_run", ["state"], unique=False)
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_webhook_delivery_endpoint_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
    )
    op.create_index(
        "ix_webhook_delivery_due",
        "webhook_delivery",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.create_index(
        "ix_webhook_delivery_endpoint_id_id",
        "webhook_delivery",
        ["endpoint_id", "id"],
        unique=False,
    )
    op.create_table(
        "verdict",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("image_pk", sa.BigInteger(), nullable=False),
        sa.Column("scan_id", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("shadow", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("lower_threshold", sa.Double(), nullable=True),
        sa.Column("upper_threshold", sa.Double(), nullable=True),
        sa.Column("detectors", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("provenance", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("bundle_version", sa.Text(), nullable=True),
        sa.Column("policy_version", sa.BigInteger(), nullable=True),
        sa.Column("reviewer", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "decided_by = 'human' OR (bundle_version IS NOT NULL AND policy_version IS NOT NULL)",
            name=op.f("ck_verdict_machine_named"),
        ),
        sa.CheckConstraint(
            "decided_by IN ('machine', 'human', 'provenance', 'duplicate')",
            name=op.f("ck_verdict_decided_by"),
        ),
        sa.CheckConstraint(
            "verdict IN ('ai_generated', 'uncertain', 'not_ai_generated')",
            name=op.f("ck_verdict_verdict"),
        ),
        sa.CheckConstraint("probability >= 0 AND probability <= 1", name=op.f("ck_verdict_probability")),
        sa.ForeignKeyConstraint(["bundle_version"], ["bundle.version"], name=op.f("fk_verdict_bundle_version")),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_verdict_image_pk")),
        sa.ForeignKeyConstraint(["policy_version"], ["policy.version"], name=op.f("fk_verdict_policy_version")),
        sa.ForeignKeyConstraint(["scan_id"], ["scan.id"], name=op.f("fk_verdict_scan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdict")),
    )
    op.create_index("ix_verdict_created_at_id", "verdict", ["created_at", "id"], unique=False)
    op.create_index("ix_verdict_image_pk_id", "verdict", ["image_pk", "id"], unique=False)
    op.create_index("ix_verdict_scan_id", "verdict", ["scan_id"], unique=False)
    op.create_index("ix_verdict_verdict_id", "verdict", ["verdict", "id"], unique=False)
    op.create_index(
        "uq_verdict_machine",
        "verdict",
        ["image_pk", "bundle_version", "policy_version"],
        unique=True,
        postgresql_where=sa.text("decided_by <> 'human'"),
    )
    op.create_table(
        "heatmap",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("verdict_id", sa.BigInteger(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("bundle_version", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["bundle_version"], ["bundle.version"], name=op.f("fk_heatmap_bundle_version")),
        sa.ForeignKeyConstraint(["verdict_id"], ["verdict.id"], name=op.f("fk_heatmap_verdict_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heatmap")),
        sa.UniqueConstraint("verdict_id", "detector", name=op.f("uq_heatmap_verdict_id_detector")),
    )
    op.execute(_FORBID)
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION assay_append_only()"
        )
        op.execute(
            f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION assay_append_only()"
        )
    # The first policy: at most 1 % of photographs accused, at most 5 % of AI images cleared.
    op.execute(
        "INSERT INTO policy (prior_shift, false_positive_budget, miss_budget, by_source, created_by) "
        "VALUES (0, 0.01, 0.05, '{}', 'assay')"
    )


def downgrade() -> None:
    """Drop every table."""
    op.drop_table("heatmap")
    op.drop_index(
        "uq_verdict_machine",
        table_name="verdict",
        postgresql_where=sa.text("decided_by <> 'human'"),
    )
    op.drop_index("ix_verdict_verdict_id", table_name="verdict")
    op.drop_index("ix_verdict_scan_id", table_name="verdict")
    op.drop_index("ix_verdict_image_pk_id", table_name="verdict")
    op.drop_index("ix_verdict_created_at_id", table_name="verdict")
    op.drop_table("verdict")
    op.drop_index("ix_webhook_delivery_endpoint_id_id", table_name="webhook_delivery")
    op.drop_index(
        "ix_webhook_delivery_due",
        table_name="webhook_delivery",
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.drop_table("webhook_delivery")
    op.drop_index("ix_training_run_state", table_name="training_run")
    op.drop_table("training_run")
    op.drop_index("uq_scan_live", table_name="scan", postgresql_where=sa.text("kind = 'live'"))
    op.drop_index("ix_scan_state_id", table_name="scan")
    op.drop_index("ix_scan_image_pk", table_name="scan")
    op.drop_index(
        "ix_scan_due",
        table_name="scan",
        postgresql_where=sa.text("state IN ('queued', 'dispatched', 'leased')"),
    )
    op.drop_table("scan")
    op.drop_index("ix_label_image_pk_id", table_name="label")
    op.drop_table("label")
    op.drop_table("webhook_endpoint")
    op.drop_index(op.f("ix_schedule_due_at"), table_name="schedule")
    op.drop_table("schedule")
    op.drop_table("policy")
    op.drop_index("ix_image_sha256", table_name="image")
    op.drop_index("ix_image_image_id_stored_at_id", table_name="image")
    op.drop_table("image")
    op.drop_index("uq_bundle_champion", table_name="bundle", postgresql_where=sa.text("role = 'champion'"))
    op.drop_table("bundle")
    op.drop_table("api_key")
    op.execute("DROP FUNCTION assay_append_only()")
