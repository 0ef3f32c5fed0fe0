"""evidence: verdicts taken over from equal images, perceptual hashes, raw maps, heatmaps on request."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_21_evidence"
down_revision = "2026_11_21_console_sessions"
branch_labels = None
depends_on = None

_KINDS = "kind IN ('live', 'shadow', 'rescan'{})"
_OPEN_HEATMAP = sa.text("kind = 'heatmap' AND state IN ('queued', 'dispatched', 'leased')")


def upgrade() -> None:
    """Add what duplicates and heatmaps need."""
    op.add_column("image", sa.Column("pdq", postgresql.BIT(256), nullable=True))
    op.add_column("image", sa.Column("pdq_bands", postgresql.ARRAY(sa.Integer()), nullable=True))
    op.create_index(
        "ix_image_pdq_bands",
        "image",
        ["pdq_bands"],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    op.add_column("verdict", sa.Column("content", sa.Text(), nullable=True))
    op.add_column("verdict", sa.Column("duplicate_of", sa.BigInteger(), nullable=True))
    op.create_foreign_key(op.f("fk_verdict_duplicate_of"), "verdict", "verdict", ["duplicate_of"], ["id"])
    op.create_index(
        "ix_verdict_content",
        "verdict",
        ["content", "bundle_version", "policy_version", "id"],
        postgresql_where=sa.text("content IS NOT NULL"),
    )
    op.add_column("heatmap", sa.Column("raw_key", sa.Text(), nullable=True))
    op.drop_constraint(op.f("ck_scan_kind"), "scan")
    op.create_check_constraint(op.f("ck_scan_kind"), "scan", _KINDS.format(", 'heatmap'"))
    op.create_index(
        "uq_scan_heatmap", "scan", ["image_pk", "bundle_version"], unique=True, postgresql_where=_OPEN_HEATMAP
    )


def downgrade() -> None:
    """Take it back; fails where heatmaps were asked for, since scans are never dropped silently."""
    op.drop_index("uq_scan_heatmap", table_name="scan", postgresql_where=_OPEN_HEATMAP)
    op.drop_constraint(op.f("ck_scan_kind"), "scan")
    op.create_check_constraint(op.f("ck_scan_kind"), "scan", _KINDS.format(""))
    op.drop_column("heatmap", "raw_key")
    op.drop_index("ix_verdict_content", table_name="verdict", postgresql_where=sa.text("content IS NOT NULL"))
    op.drop_constraint(op.f("fk_verdict_duplicate_of"), "verdict")
    op.drop_column("verdict", "duplicate_of")
    op.drop_column("verdict", "content")
    op.drop_index("ix_image_pdq_bands", table_name="image")
    op.drop_column("image", "pdq_bands")
    op.drop_column("image", "pdq")
