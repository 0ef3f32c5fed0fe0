"""serve platforms: audit, idempotency, retention, erasure, promotions, webhooks, and search by any filter."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_21_serve_platforms"
down_revision = "2026_11_21_first_tables"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_APPEND_ONLY = ("audit", "retention", "promotion")

# A verdict knows its image's source, so that no search has to join; writers may leave that to the database.
_FILL_SOURCE = """
CREATE FUNCTION assay_verdict_source() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.source := (SELECT source FROM image WHERE id = NEW.image_pk);
  RETURN NEW;
END $$
"""

# The outbox is filled by the database, so that nobody who writes a verdict can forget it. Rows hold ids alone: what is
# sent is put together when it is sent, and an erased image leaves nothing here. Without endpoints this is one look at
# an empty table.
_ANNOUNCE_VERDICTS = """
CREATE FUNCTION assay_announce_verdicts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_delivery (endpoint_id, event, payload)
  SELECT endpoint.id, 'verdict.created', jsonb_build_object('verdict_id', made.id)
  FROM webhook_endpoint AS endpoint CROSS JOIN made
  WHERE endpoint.disabled_at IS NULL AND 'verdict.created' = ANY (endpoint.events) AND NOT made.shadow
  UNION ALL
  SELECT endpoint.id, 'verdict.changed', jsonb_build_object('verdict_id', served.id, 'previous', former.verdict)
  FROM webhook_endpoint AS endpoint CROSS JOIN made
  CROSS JOIN LATERAL (
    SELECT id, verdict FROM verdict
    WHERE image_pk = made.image_pk AND NOT shadow AND id <= made.id
    ORDER BY CASE decided_by WHEN 'human' THEN 0 WHEN 'provenance' THEN 1 ELSE 2 END, id DESC LIMIT 1
  ) AS served
  CROSS JOIN LATERAL (
    SELECT verdict FROM verdict
    WHERE image_pk = made.image_pk AND NOT shadow AND id < made.id
    ORDER BY CASE decided_by WHEN 'human' THEN 0 WHEN 'provenance' THEN 1 ELSE 2 END, id DESC LIMIT 1
  ) AS former
  WHERE endpoint.disabled_at IS NULL AND 'verdict.changed' = ANY (endpoint.events) AND NOT made.shadow
    AND served.verdict <> former.verdict;
  RETURN NULL;
END $$
"""
_ANNOUNCE_SCAN = """
CREATE FUNCTION assay_announce_scan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_delivery (endpoint_id, event, payload)
  SELECT id, 'scan.' || NEW.state, jsonb_build_object('scan_id', NEW.id, 'reason', NEW.reason)
  FROM webhook_endpoint WHERE disabled_at IS NULL AND 'scan.' || NEW.state = ANY (events);
  RETURN NULL;
END $$
"""
_ANNOUNCE_PROMOTION = """
CREATE FUNCTION assay_announce_promotion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_delivery (endpoint_id, event, payload)
  SELECT id, 'bundle.promoted', jsonb_build_object('promotion_id', NEW.id)
  FROM webhook_endpoint WHERE disabled_at IS NULL AND 'bundle.promoted' = ANY (events);
  RETURN NULL;
END $$
"""
_TRIGGERS = """
CREATE TRIGGER fill_source BEFORE INSERT ON verdict FOR EACH ROW WHEN (NEW.source IS NULL)
  EXECUTE FUNCTION assay_verdict_source();
CREATE TRIGGER announce AFTER INSERT ON verdict REFERENCING NEW TABLE AS made FOR EACH STATEMENT
  EXECUTE FUNCTION assay_announce_verdicts();
CREATE TRIGGER announce AFTER UPDATE OF state ON scan FOR EACH ROW
  WHEN (NEW.state IN ('rejected', 'dead') AND OLD.state <> NEW.state AND NEW.kind <> 'shadow')
  EXECUTE FUNCTION assay_announce_scan();
CREATE TRIGGER announce AFTER INSERT ON promotion FOR EACH ROW EXECUTE FUNCTION assay_announce_promotion()
"""

# Whole percent of the probability: with it, a range of probabilities is a hundred equalities at most, and a page of
# any search is read from an index in the order it is shown.
_PERCENT = "(LEAST(floor((probability * (100)::double precision)), (99)::double precision))::smallint"


def upgrade() -> None:
    """Make the tables, let the database fill the outbox, and give searches their indexes."""
    _make_tables()
    op.add_column("webhook_endpoint", sa.Column("description", sa.Text(), server_default="", nullable=False))
    op.add_column("webhook_endpoint", sa.Column("previous_secret", sa.Text(), nullable=True))
    op.add_column("webhook_endpoint", sa.Column("previous_secret_until", _TIME, nullable=True))
    op.add_column("webhook_endpoint", sa.Column("failing_since", _TIME, nullable=True))
    op.add_column("webhook_endpoint", sa.Column("disabled_reason", sa.Text(), nullable=True))
    op.add_column("webhook_delivery", sa.Column("attempted_at", _TIME, nullable=True))
    op.add_column("webhook_delivery", sa.Column("last_error", sa.Text(), nullable=True))
    op.add_column("training_run", sa.Column("cancel_requested_at", _TIME, nullable=True))
    _make_searchable()
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION assay_append_only()"
        )
        op.execute(
            f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION assay_append_only()"
        )
    for statement in (_FILL_SOURCE, _ANNOUNCE_VERDICTS, _ANNOUNCE_SCAN, _ANNOUNCE_PROMOTION, _TRIGGERS):
        op.execute(statement)
    op.execute("INSERT INTO retention (delivery_days, created_by) VALUES (30, 'assay')")


def _make_tables() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.BigInteger(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("fk_audit_api_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_action_id", "audit", ["action", "id"], unique=False)
    op.create_index("ix_audit_target_id", "audit", ["target", "id"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("api_key_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("fk_idempotency_api_key_id")),
        sa.PrimaryKeyConstraint("api_key_id", "key", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "retention",
        sa.Column("version", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("image_days", sa.Integer(), nullable=True),
        sa.Column("heatmap_days", sa.Integer(), nullable=True),
        sa.Column("delivery_days", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.CheckConstraint("image_days > 0 AND heatmap_days > 0 AND delivery_days > 0", name=op.f("ck_retention_days")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_retention")),
    )
    op.create_table(
        "doomed_object",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Boolean(), nullable=False),
        sa.Column("due_at", _TIME, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doomed_object")),
    )
    op.create_index("ix_doomed_object_due_at", "doomed_object", ["due_at"], unique=False)
    op.create_table(
        "promotion",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("bundle_version", sa.Text(), nullable=False),
        sa.Column("previous_version", sa.Text(), nullable=True),
        sa.Column("rollback", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(["bundle_version"], ["bundle.version"], name=op.f("fk_promotion_bundle_version")),
        sa.ForeignKeyConstraint(["previous_version"], ["bundle.version"], name=op.f("fk_promotion_previous_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion")),
    )


def _make_searchable() -> None:
    op.add_column("verdict", sa.Column("source", sa.Text(), nullable=True))
    op.execute("SET LOCAL assay.erasing = 'on'")
    op.execute("UPDATE verdict SET source = image.source FROM image WHERE image.id = verdict.image_pk")
    op.execute("SET LOCAL assay.erasing = 'off'")
    op.alter_column("verdict", "source", nullable=False)
    op.add_column("verdict", sa.Column("percent", sa.SmallInteger(), sa.Computed(_PERCENT, persisted=True)))
    op.drop_index("ix_verdict_verdict_id", table_name="verdict")
    served = sa.text("NOT shadow")
    for name, columns in _SEARCH_INDEXES.items():
        op.create_index(name, "verdict", columns, unique=False, postgresql_where=served)


_SEARCH_INDEXES = {
    "ix_verdict_search": ["verdict", "created_at", "id"],
    "ix_verdict_search_percent": ["verdict", "percent", "created_at", "id"],
    "ix_verdict_search_source": ["source", "verdict", "created_at", "id"],
    "ix_verdict_search_source_percent": ["source", "verdict", "percent", "created_at", "id"],
}


def downgrade() -> None:
    """Take all of it away again."""
    op.execute("DROP TRIGGER announce ON promotion")
    op.execute("DROP TRIGGER announce ON scan")
    op.execute("DROP TRIGGER announce ON verdict")
    op.execute("DROP TRIGGER fill_source ON verdict")
    for function in ("promotion", "scan", "verdicts"):
        op.execute(f"DROP FUNCTION assay_announce_{function}()")
    op.execute("DROP FUNCTION assay_verdict_source()")
    for name in _SEARCH_INDEXES:
        op.drop_index(name, table_name="verdict", postgresql_where=sa.text("NOT shadow"))
    op.create_index("ix_verdict_verdict_id", "verdict", ["verdict", "id"], unique=False)
    op.drop_column("verdict", "percent")
    op.drop_column("verdict", "source")
    op.drop_column("training_run", "cancel_requested_at")
    for column in ("last_error", "attempted_at"):
        op.drop_column("webhook_delivery", column)
    for column in ("disabled_reason", "failing_since", "previous_secret_until", "previous_secret", "description"):
        op.drop_column("webhook_endpoint", column)
    for table in ("promotion", "doomed_object", "retention", "idempotency", "audit"):
        op.drop_table(table)
