"""challengers: bundles in shadow and their gates, rescans of history, drift."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_21_challengers"
down_revision = "2026_11_21_search_covers"
branch_labels = None
depends_on = None

_MACHINE = sa.text("decided_by <> 'human'")
_ONE_VERDICT = ["image_pk", "bundle_version", "policy_version"]


def upgrade() -> None:
    """Give bundles a gate and a share of the traffic, and let a shadow verdict stand beside the one that is served."""
    op.add_column("bundle", sa.Column("gate", postgresql.JSONB(), nullable=True))
    op.add_column("bundle", sa.Column("shadow_share", sa.Double(), nullable=True))
    op.add_column("bundle", sa.Column("challenged_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "uq_bundle_challenger", "bundle", ["role"], unique=True, postgresql_where=sa.text("role = 'challenger'")
    )
    op.create_check_constraint(
        op.f("ck_bundle_shadow_share"), "bundle", "(role = 'challenger') = (shadow_share IS NOT NULL)"
    )
    op.create_check_constraint(op.f("ck_bundle_share"), "bundle", "shadow_share > 0 AND shadow_share <= 1")
    op.drop_index("uq_verdict_machine", table_name="verdict", postgresql_where=_MACHINE)
    op.create_index("uq_verdict_machine", "verdict", [*_ONE_VERDICT, "shadow"], unique=True, postgresql_where=_MACHINE)
    op.create_index(
        "ix_verdict_shadow", "verdict", ["bundle_version", "id"], unique=False, postgresql_where=sa.text("shadow")
    )
    _create_rescan()
    _create_drift()


def _create_rescan() -> None:
    op.create_table(
        "rescan",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("filter", postgresql.JSONB(), nullable=False),
        sa.Column("bundle_version", sa.Text(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.Column("after_image", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("examined", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("queued", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("stepped_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('running', 'completed', 'cancelled')", name=op.f("ck_rescan_state")),
        sa.CheckConstraint("rate > 0", name=op.f("ck_rescan_rate")),
        sa.ForeignKeyConstraint(["bundle_version"], ["bundle.version"], name=op.f("fk_rescan_bundle_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rescan")),
    )
    op.create_index("ix_rescan_state", "rescan", ["state"])


def _create_drift() -> None:
    op.create_table(
        "drift",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("bundle_version", sa.Text(), nullable=False),
        sa.Column("measures", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["bundle_version"], ["bundle.version"], name=op.f("fk_drift_bundle_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift")),
        sa.UniqueConstraint("day", "source", "bundle_version", name=op.f("uq_drift_day_source_bundle_version")),
    )


def downgrade() -> None:
    """Take all of it back; fails where a bundle has both a shadow verdict and a served one for an image."""
    op.drop_table("drift")
    op.drop_table("rescan")
    op.drop_index("ix_verdict_shadow", table_name="verdict", postgresql_where=sa.text("shadow"))
    op.drop_index("uq_verdict_machine", table_name="verdict", postgresql_where=_MACHINE)
    op.create_index("uq_verdict_machine", "verdict", _ONE_VERDICT, unique=True, postgresql_where=_MACHINE)
    op.execute("UPDATE bundle SET role = 'registered', shadow_share = NULL WHERE role = 'challenger'")
    op.drop_constraint(op.f("ck_bundle_share"), "bundle")
    op.drop_constraint(op.f("ck_bundle_shadow_share"), "bundle")
    op.drop_index("uq_bundle_challenger", table_name="bundle")
    op.drop_column("bundle", "challenged_at")
    op.drop_column("bundle", "shadow_share")
    op.drop_column("bundle", "gate")
