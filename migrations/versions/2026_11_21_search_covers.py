"""search covers: a range of probabilities is checked within the index, not in the table."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_search_covers"
down_revision = "2026_11_21_steady_webhooks"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_verdict_search_percent": ["verdict", "percent", "created_at", "id"],
    "ix_verdict_search_source_percent": ["source", "verdict", "percent", "created_at", "id"],
}
_NOT_SHADOW = sa.text("NOT shadow")


def upgrade() -> None:
    """Take the probability into the indexes that ranges of it are read from."""
    for name, columns in _INDEXES.items():
        op.drop_index(name, table_name="verdict", postgresql_where=_NOT_SHADOW)
        op.create_index(
            name, "verdict", columns, unique=False, postgresql_where=_NOT_SHADOW, postgresql_include=["probability"]
        )


def downgrade() -> None:
    """Leave it out again."""
    for name, columns in _INDEXES.items():
        op.drop_index(name, table_name="verdict", postgresql_where=_NOT_SHADOW, postgresql_include=["probability"])
        op.create_index(name, "verdict", columns, unique=False, postgresql_where=_NOT_SHADOW)
