"""quiet heatmaps: a heatmap that cannot be drawn is no news of the image, whose verdict stands."""

from alembic import op

revision = "2026_11_21_quiet_heatmaps"
down_revision = "2026_11_21_evidence"
branch_labels = None
depends_on = None

_ANNOUNCE = """
CREATE OR REPLACE TRIGGER announce AFTER UPDATE OF state ON scan FOR EACH ROW
  WHEN (NEW.state IN ('rejected', 'dead') AND OLD.state <> NEW.state AND NEW.kind NOT IN ({}))
  EXECUTE FUNCTION assay_announce_scan()
"""


def upgrade() -> None:
    """Announce no end of a scan that only draws."""
    op.execute(_ANNOUNCE.format("'shadow', 'heatmap'"))


def downgrade() -> None:
    """Announce them again."""
    op.execute(_ANNOUNCE.format("'shadow'"))
