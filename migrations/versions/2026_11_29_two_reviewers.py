"""two reviewers: a label counts as the word of the key that gave it, or of a reviewer who is registered."""

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_two_reviewers"
down_revision = "2026_11_29_confirmed_states"
branch_labels = None
depends_on = None

_SCHEMA_BEFORE = Path(__file__).with_name("2026_11_21_quiet_heatmaps.sql")
_INHERIT = re.compile(r"CREATE (FUNCTION assay_inherit_labels\(\).*?\nEND \$\$;)", re.DOTALL)


def upgrade() -> None:
    """Let labels say whose word they are; existing ones count by their reviewer's name, as they did."""
    op.add_column("label", sa.Column("voice", sa.Text(), nullable=True))
    op.add_column("api_key", sa.Column("first_key_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(op.f("fk_api_key_first_key_id"), "api_key", "api_key", ["first_key_id"], ["id"])
    op.create_table(
        "reviewer",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_reviewer")),
    )
    inherit = _inherit()
    for old, new in (
        ("DISTINCT ON (label.reviewer)", "DISTINCT ON (coalesce(label.voice, label.reviewer))"),
        ("label.reviewer, label.reason\n", "label.reviewer, label.reason, label.voice\n"),
        ("ORDER BY label.reviewer,", "ORDER BY coalesce(label.voice, label.reviewer),"),
        ("reason, of_duplicate)", "reason, voice, of_duplicate)"),
        ("SELECT NEW.id, label, reviewer, reason, true", "SELECT NEW.id, label, reviewer, reason, voice, true"),
    ):
        if old not in inherit:
            raise RuntimeError(f"assay_inherit_labels() lacks {old!r}")
        inherit = inherit.replace(old, new)
    op.execute(f"CREATE OR REPLACE {inherit}")


def downgrade() -> None:
    """Count by names again."""
    op.execute(f"CREATE OR REPLACE {_inherit()}")
    op.drop_table("reviewer")
    op.drop_constraint(op.f("fk_api_key_first_key_id"), "api_key")
    op.drop_column("api_key", "first_key_id")
    op.drop_column("label", "voice")


def _inherit() -> str:
    (statement,) = _INHERIT.findall(_SCHEMA_BEFORE.read_text(encoding="utf-8"))
    return str(statement)
