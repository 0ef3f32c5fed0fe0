"""training leases: runs that a training worker owns, what they tell, and features to fit heads on again."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_21_training_leases"
down_revision = "2026_11_21_label_duplicates"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Give runs a lease, a report and artifacts; make the tables of their events and of features."""
    op.add_column("training_run", sa.Column("lease_until", _TIME, nullable=True))
    op.add_column("training_run", sa.Column("expiries", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("training_run", sa.Column("report", postgresql.JSONB(), nullable=True))
    op.add_column("training_run", sa.Column("artifacts", sa.Text(), nullable=True))
    op.add_column("training_run", sa.Column("started_at", _TIME, nullable=True))
    op.create_table(
        "training_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["training_run.id"], name=op.f("fk_training_event_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_event")),
    )
    op.create_index("ix_training_event_run_id_id", "training_event", ["run_id", "id"])
    op.create_table(
        "feature",
        sa.Column("image_pk", sa.BigInteger(), nullable=False),
        sa.Column("bundle_version", sa.Text(), nullable=False),
        sa.Column("features", sa.LargeBinary(), nullable=False),
        sa.Column("logits", postgresql.JSONB(), nullable=False),
        sa.Column("covariates", sa.ARRAY(sa.Double()), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_feature_image_pk")),
        sa.ForeignKeyConstraint(["bundle_version"], ["bundle.version"], name=op.f("fk_feature_bundle_version")),
        sa.PrimaryKeyConstraint("image_pk", "bundle_version", name=op.f("pk_feature")),
    )
    op.create_index("ix_feature_created_at", "feature", ["created_at"])
    # Floats of half precision do not compress, and a row is read by itself.
    op.execute("ALTER TABLE feature ALTER COLUMN features SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Take all of it back."""
    op.drop_table("feature")
    op.drop_table("training_event")
    for column in ("started_at", "artifacts", "report", "expiries", "lease_until"):
        op.drop_column("training_run", column)
