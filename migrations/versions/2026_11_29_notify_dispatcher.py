"""notify dispatcher: a queued scan wakes the dispatcher instead of waiting for its poll."""

from alembic import op

revision = "2026_11_29_notify_dispatcher"
down_revision = "2026_11_29_serving_rule"
branch_labels = None
depends_on = None

_NOTIFY = """
CREATE FUNCTION assay_notify_dispatcher() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('assay_scan_queued', '');
  RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Notify once a statement; Postgres sends one of equal notifications for each transaction."""
    op.execute(_NOTIFY)
    op.execute(
        "CREATE TRIGGER notify_dispatcher AFTER INSERT ON scan FOR EACH STATEMENT "
        "EXECUTE FUNCTION assay_notify_dispatcher()"
    )


def downgrade() -> None:
    """Poll alone."""
    op.execute("DROP TRIGGER notify_dispatcher ON scan")
    op.execute("DROP FUNCTION assay_notify_dispatcher()")
