"""console sessions: who is signed in."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_console_sessions"
down_revision = "2026_11_21_training_leases"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keep sessions of the console."""
    op.create_table(
        "console_session",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("fk_console_session_api_key_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_console_session")),
    )
    op.create_index("ix_console_session_expires_at", "console_session", ["expires_at"])


def downgrade() -> None:
    """Sign everybody out."""
    op.drop_table("console_session")
