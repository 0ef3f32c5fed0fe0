"""steady webhooks: an endpoint that fails is asked seldom, whatever waits for it."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_steady_webhooks"
down_revision = "2026_11_21_serve_platforms"
branch_labels = None
depends_on = None

_OPEN = sa.text("delivered_at IS NULL AND due_at IS NOT NULL")


def upgrade() -> None:
    """Count an endpoint's failures, and let its open deliveries be found apart from those of others."""
    op.add_column("webhook_endpoint", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("webhook_endpoint", sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index("ix_webhook_delivery_due", table_name="webhook_delivery")
    op.create_index(
        "ix_webhook_delivery_open", "webhook_delivery", ["endpoint_id", "due_at"], unique=False, postgresql_where=_OPEN
    )


def downgrade() -> None:
    """Take both away again."""
    op.drop_index("ix_webhook_delivery_open", table_name="webhook_delivery", postgresql_where=_OPEN)
    op.create_index(
        "ix_webhook_delivery_due",
        "webhook_delivery",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.drop_column("webhook_endpoint", "retry_at")
    op.drop_column("webhook_endpoint", "failures")
