"""thumbnails: a small picture of an image, and scans that make one."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_thumbnails"
down_revision = "2026_11_29_frames"
branch_labels = None
depends_on = None

_ANNOUNCE = (
    "CREATE TRIGGER announce AFTER UPDATE OF state ON scan FOR EACH ROW WHEN (new.state IN ('rejected', 'dead') "
    "AND old.state <> new.state AND new.kind NOT IN ({quiet})) EXECUTE FUNCTION assay_announce_scan()"
)


def upgrade() -> None:
    """Make the table, and let scans be of that kind; nobody is told of one that fails."""
    op.create_table(
        "thumbnail",
        sa.Column("image_pk", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_thumbnail_image_pk")),
        sa.PrimaryKeyConstraint("image_pk", name=op.f("pk_thumbnail")),
    )
    op.create_index("ix_thumbnail_created_at", "thumbnail", ["created_at"])
    _set_kinds("'live', 'shadow', 'rescan', 'heatmap', 'thumbnail'")
    op.create_index(
        "uq_scan_thumbnail",
        "scan",
        ["image_pk"],
        unique=True,
        postgresql_where=sa.text("kind = 'thumbnail' AND state IN ('queued', 'dispatched', 'leased')"),
    )
    op.execute("DROP TRIGGER announce ON scan")
    op.execute(_ANNOUNCE.format(quiet="'shadow', 'heatmap', 'thumbnail'"))


def downgrade() -> None:
    """Forget thumbnails and the scans that made them; objects in the bucket stay."""
    op.execute("DELETE FROM scan WHERE kind = 'thumbnail'")
    op.execute("DROP TRIGGER announce ON scan")
    op.execute(_ANNOUNCE.format(quiet="'shadow', 'heatmap'"))
    op.drop_index("uq_scan_thumbnail", "scan")
    _set_kinds("'live', 'shadow', 'rescan', 'heatmap'")
    op.drop_table("thumbnail")


def _set_kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_scan_kind"), "scan")
    op.create_check_constraint(op.f("ck_scan_kind"), "scan", f"kind IN ({kinds})")
