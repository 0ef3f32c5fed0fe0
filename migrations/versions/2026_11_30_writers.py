"""writers: triggers write with their owner's rights, and the API's role writes no verdict of a machine."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_writers"
down_revision = "2026_11_30_workers"
branch_labels = None
depends_on = None

# What these write belongs to other parts than the one whose statement calls them.
_WRITE = (
    "assay_announce_promotion",
    "assay_announce_scan",
    "assay_announce_verdicts",
    "assay_forget_review",
    "assay_inherit_labels",
    "assay_keep_review_queue",
)
_REFUSE = """
CREATE FUNCTION assay_refuse_writer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% writes no verdict of a machine', current_user USING ERRCODE = 'insufficient_privilege';
END $$
"""


def upgrade() -> None:
    """Fix whose rights count; with one role for all nothing changes."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for name in _WRITE:
        # Without a path of its own, a caller's temporary tables would stand in for ours.
        op.execute(f"ALTER FUNCTION {name}() SECURITY DEFINER SET search_path = {schema}, pg_temp")
    op.execute(_REFUSE)
    op.execute(
        "CREATE TRIGGER refuse_writer BEFORE INSERT ON verdict FOR EACH ROW "
        "WHEN (current_user = 'assay_api' AND NEW.decided_by <> 'human') EXECUTE FUNCTION assay_refuse_writer()"
    )


def downgrade() -> None:
    """Let triggers write with the rights of whoever calls them."""
    op.execute("DROP TRIGGER refuse_writer ON verdict")
    op.execute("DROP FUNCTION assay_refuse_writer()")
    for name in _WRITE:
        op.execute(f"ALTER FUNCTION {name}() SECURITY INVOKER RESET search_path")
