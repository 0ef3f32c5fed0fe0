"""appeals: what people say against verdicts, and what becomes of it."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_appeals"
down_revision = "2026_11_30_writers"
branch_labels = None
depends_on = None

_ANNOUNCE = """
CREATE FUNCTION assay_announce_appeal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_delivery (endpoint_id, event, payload)
  SELECT id, 'appeal.decided', jsonb_build_object('appeal_id', NEW.id)
  FROM webhook_endpoint WHERE disabled_at IS NULL AND 'appeal.decided' = ANY (events);
  RETURN NULL;
END $$
"""
_OPEN, _WORDS = sa.text("state = 'open'"), sa.text("reason IS NOT NULL")


def upgrade() -> None:
    """Make the table; webhooks tell of a decision in its own transaction."""
    op.create_table(
        "appeal",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("image_pk", sa.BigInteger(), nullable=False),
        sa.Column("verdict_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("contact", sa.Text(), nullable=True),
        sa.Column("api_key_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision_verdict_id", sa.BigInteger(), nullable=True),
        sa.Column("voice", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('open', 'upheld', 'rejected', 'lapsed')", name=op.f("ck_appeal_state")),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_appeal_image_pk")),
        sa.ForeignKeyConstraint(["verdict_id"], ["verdict.id"], name=op.f("fk_appeal_verdict_id")),
        sa.ForeignKeyConstraint(["decision_verdict_id"], ["verdict.id"], name=op.f("fk_appeal_decision_verdict_id")),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("fk_appeal_api_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appeal")),
    )
    op.create_index("uq_appeal_open", "appeal", ["image_pk"], unique=True, postgresql_where=_OPEN)
    op.create_index("ix_appeal_image_pk_id", "appeal", ["image_pk", "id"])
    op.create_index("ix_appeal_state_id", "appeal", ["state", "id"])
    op.create_index("ix_appeal_api_key_id_created_at", "appeal", ["api_key_id", "created_at"])
    op.create_index("ix_appeal_decided_at", "appeal", ["decided_at"], postgresql_where=_WORDS)
    op.add_column("retention", sa.Column("appeal_days", sa.Integer(), server_default="180", nullable=False))
    op.create_check_constraint(op.f("ck_retention_appeal_days"), "retention", "appeal_days > 0")
    op.execute(_ANNOUNCE)
    op.execute(
        "CREATE TRIGGER announce AFTER UPDATE OF state ON appeal FOR EACH ROW "
        "WHEN (OLD.state = 'open' AND NEW.state IN ('upheld', 'rejected')) EXECUTE FUNCTION assay_announce_appeal()"
    )


def downgrade() -> None:
    """Forget appeals; the verdicts that people gave stay."""
    op.drop_table("appeal")
    op.execute("DROP FUNCTION assay_announce_appeal()")
    op.drop_column("retention", "appeal_days")
