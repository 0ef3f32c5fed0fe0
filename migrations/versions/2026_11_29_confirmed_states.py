"""confirmed states: a state that the store has never shown hides none that it has."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_confirmed_states"
down_revision = "2026_11_29_notify_dispatcher"
branch_labels = None
depends_on = None

# What an event alone told of, and nobody could read.
_GHOSTS = """
UPDATE image SET confirmed = false FROM scan
WHERE scan.image_pk = image.id AND scan.kind = 'live' AND scan.state = 'rejected' AND scan.reason = 'gone'
  AND image.sha256 IS NULL AND image.erased_at IS NULL
"""


def upgrade() -> None:
    """Mark what was never there, and let no state lie in the future."""
    op.add_column("image", sa.Column("confirmed", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.execute(_GHOSTS)
    op.execute("UPDATE image SET stored_at = created_at WHERE stored_at > now()")


def downgrade() -> None:
    """Forget which were."""
    op.drop_column("image", "confirmed")
