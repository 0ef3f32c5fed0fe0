"""actions: a policy says what it recommends in which case, by source too."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_29_actions"
down_revision = "2026_11_29_two_reviewers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let policies name actions; those made before name none, so the defaults hold."""
    actions = sa.Column("actions", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("policy", actions)


def downgrade() -> None:
    """Forget the actions."""
    op.drop_column("policy", "actions")
