"""workers: which processes scan, so that what a lost one held is done by others at once."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_30_workers"
down_revision = "2026_11_30_thumbnails"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and let a leased scan say who holds it; leases of earlier releases end by time alone."""
    op.create_table(
        "worker",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("bundles", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("bulk_scans", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.add_column("scan", sa.Column("worker_id", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Forget them; leases end by time."""
    op.drop_column("scan", "worker_id")
    op.drop_table("worker")
