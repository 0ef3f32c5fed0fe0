"""frames: what was judged of an animation, and whether a file breaks off."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_29_frames"
down_revision = "2026_11_29_actions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was scanned before says nothing of either."""
    op.add_column("image", sa.Column("truncated", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("verdict", sa.Column("frames", postgresql.JSONB(), nullable=True))
    op.add_column("verdict", sa.Column("frame_key", sa.Text(), nullable=True))
    some = sa.text("frame_key IS NOT NULL")
    op.create_index("ix_verdict_frame", "verdict", ["created_at"], postgresql_where=some)


def downgrade() -> None:
    """Forget both."""
    op.drop_index("ix_verdict_frame", "verdict")
    op.drop_column("verdict", "frame_key")
    op.drop_column("verdict", "frames")
    op.drop_column("image", "truncated")
