"""The schema of release 0.1.0 in one step; it keeps the id of that release's newest migration.

The statements lie beside this file. A database that is at this revision already needs nothing.
"""

from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "2026_11_21_quiet_heatmaps"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = text(
    "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
)
_FUNCTIONS = text(
    "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'assay%'"
)


def upgrade() -> None:
    """Make every table, function and trigger, the first policy and the first rule of retention."""
    statements = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})


def downgrade() -> None:
    """Remove all of it."""
    connection = op.get_bind()
    for table in connection.scalars(_TABLES).all():
        op.execute(f"DROP TABLE {table} CASCADE")
    for function in connection.scalars(_FUNCTIONS).all():
        op.execute(f"DROP FUNCTION {function} CASCADE")
