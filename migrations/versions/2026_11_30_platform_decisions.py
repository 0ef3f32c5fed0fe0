"""platform decisions: what a platform made of a verdict, for its statement of reasons."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_30_platform_decisions"
down_revision = "2026_11_30_appeals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "platform_decision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("image_pk", sa.BigInteger(), nullable=False),
        sa.Column("verdict_id", sa.BigInteger(), nullable=True),
        sa.Column("machine_verdict_id", sa.BigInteger(), nullable=True),
        sa.Column("terms", postgresql.JSONB(), nullable=False),
        sa.Column("api_key_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_platform_decision_image_pk")),
        sa.ForeignKeyConstraint(["verdict_id"], ["verdict.id"], name=op.f("fk_platform_decision_verdict_id")),
        sa.ForeignKeyConstraint(
            ["machine_verdict_id"], ["verdict.id"], name=op.f("fk_platform_decision_machine_verdict_id")
        ),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("fk_platform_decision_api_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_decision")),
    )
    op.create_index("ix_platform_decision_image_pk_id", "platform_decision", ["image_pk", "id"])


def downgrade() -> None:
    """Forget what platforms decided."""
    op.drop_table("platform_decision")
