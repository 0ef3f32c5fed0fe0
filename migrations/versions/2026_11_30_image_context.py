"""image context: the post that an image belongs to, and its uploader as a keyed hash."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_image_context"
down_revision = "2026_11_30_people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "image_context",
        sa.Column("image_pk", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("context_url", sa.Text(), nullable=True),
        sa.Column("actor_hash", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_image_context_image_pk")),
        sa.PrimaryKeyConstraint("image_pk", name=op.f("pk_image_context")),
    )
    op.create_index(
        "ix_image_context_actor_hash",
        "image_context",
        ["actor_hash", "image_pk"],
        postgresql_where=sa.text("actor_hash IS NOT NULL"),
    )


def downgrade() -> None:
    """Forget them."""
    op.drop_table("image_context")
