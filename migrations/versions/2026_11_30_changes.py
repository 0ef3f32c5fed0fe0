"""changes: one outbox of all that happens, whoever listens; webhooks are served out of it, and so is the feed."""

import re
from importlib import import_module
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_30_changes"
down_revision = "2026_11_30_platform_decisions"
branch_labels = None
depends_on = None

_PROMOTION = """
CREATE OR REPLACE FUNCTION assay_announce_promotion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO change (event, payload) VALUES ('bundle.promoted', jsonb_build_object('promotion_id', NEW.id));
  RETURN NULL;
END $$
"""
_SCAN = """
CREATE OR REPLACE FUNCTION assay_announce_scan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO change (event, payload)
  VALUES ('scan.' || NEW.state, jsonb_build_object('scan_id', NEW.id, 'reason', NEW.reason));
  RETURN NULL;
END $$
"""
_APPEAL = """
CREATE OR REPLACE FUNCTION assay_announce_appeal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO change (event, payload) VALUES ('appeal.decided', jsonb_build_object('appeal_id', NEW.id));
  RETURN NULL;
END $$
"""
# Of an image that had nothing to serve, the last that was said of it is what platforms know.
_VERDICTS = """
CREATE OR REPLACE FUNCTION assay_announce_verdicts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO change (event, payload)
  SELECT 'verdict.created', jsonb_build_object('verdict_id', made.id)
  FROM made
  WHERE NOT made.shadow
    AND (made.decided_by = 'human' OR made.bundle_version NOT IN (SELECT version FROM assay_withdrawn('infinity')))
  UNION ALL
  SELECT 'verdict.changed', jsonb_build_object('verdict_id', served.id, 'previous', former.verdict)
  FROM made
  CROSS JOIN LATERAL assay_served(made.image_pk, 'infinity', made.id, false) AS now_served
  JOIN verdict AS served ON served.id = now_served.id
  LEFT JOIN LATERAL assay_served(made.image_pk, 'infinity', made.id - 1, false) AS then_served ON true
  CROSS JOIN LATERAL (
    SELECT verdict FROM verdict
    WHERE image_pk = made.image_pk AND NOT shadow AND id < made.id AND (then_served.id IS NULL OR id = then_served.id)
    ORDER BY id DESC LIMIT 1
  ) AS former
  WHERE NOT made.shadow AND served.verdict <> former.verdict;
  RETURN NULL;
END $$
"""
_DELIVER = """
CREATE FUNCTION assay_deliver_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_delivery (endpoint_id, event, payload)
  SELECT endpoint.id, made.event, made.payload
  FROM made JOIN webhook_endpoint AS endpoint ON made.event = ANY (endpoint.events)
  WHERE endpoint.disabled_at IS NULL;
  RETURN NULL;
END $$
"""
_ANNOUNCE = ("assay_announce_promotion", "assay_announce_scan", "assay_announce_verdicts")
_FIRST_SCHEMA = Path(__file__).with_name("2026_11_21_quiet_heatmaps.sql")


def upgrade() -> None:
    """Make the outbox; what is told to webhooks stays what it was."""
    op.create_table(
        "change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change")),
    )
    op.create_index("uq_change_number", "change", ["number"], unique=True)
    op.create_index("ix_change_unnumbered", "change", ["id"], postgresql_where=sa.text("number IS NULL"))
    for statement in (_PROMOTION, _SCAN, _VERDICTS, _APPEAL, _DELIVER):
        op.execute(statement)
    _let_write((*_ANNOUNCE, "assay_announce_appeal", "assay_deliver_changes"))
    op.execute(
        "CREATE TRIGGER deliver AFTER INSERT ON change REFERENCING NEW TABLE AS made "
        "FOR EACH STATEMENT EXECUTE FUNCTION assay_deliver_changes()"
    )


def downgrade() -> None:
    """Let each trigger write to webhooks by itself again; the feed is forgotten."""
    first_schema = _FIRST_SCHEMA.read_text(encoding="utf-8")
    for name in ("assay_announce_promotion", "assay_announce_scan"):
        (function,) = re.findall(rf"CREATE (FUNCTION {name}\(\).*?\nEND \$\$;)", first_schema, re.DOTALL)
        op.execute(f"CREATE OR REPLACE {function}")
    op.execute(import_module("migrations.versions.2026_11_29_serving_rule")._ANNOUNCE)  # noqa: SLF001
    appeals = import_module("migrations.versions.2026_11_30_appeals")._ANNOUNCE  # noqa: SLF001
    op.execute(appeals.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    _let_write(_ANNOUNCE)
    op.drop_table("change")
    op.execute("DROP FUNCTION assay_deliver_changes()")


def _let_write(functions: tuple[str, ...]) -> None:
    """Let triggers write with their owner's rights, under a search path of their own; see `writers`."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for name in functions:
        op.execute(f"ALTER FUNCTION {name}() SECURITY DEFINER SET search_path = {schema}, pg_temp")
