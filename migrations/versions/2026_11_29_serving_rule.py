"""serving rule: one function says what is served; rollbacks withdraw a bundle's verdicts; declared origin; figures."""

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_29_serving_rule"
down_revision = "2026_11_29_review_queue"
branch_labels = None
depends_on = None

# A rollback withdraws what the bundle that leaves has said, until that bundle becomes champion again.
_WITHDRAWN = """
CREATE FUNCTION assay_withdrawn(at timestamptz) RETURNS TABLE (version text) LANGUAGE sql STABLE ROWS 1 AS $$
  SELECT mark.withdraws FROM promotion AS mark
  WHERE mark.withdraws IS NOT NULL AND mark.created_at <= at AND NOT EXISTS (
    SELECT FROM promotion AS again
    WHERE again.bundle_version = mark.withdraws AND again.id > mark.id AND again.created_at <= at
  )
$$
"""
# THE serving rule: the newest human decision, else the newest row that is neither shadow nor withdrawn.
#   at: as of this time; 'infinity' for now.
#   upto: of rows up to this id.
#   by_machine: what would be served if no person had decided.
_SERVED = """
CREATE FUNCTION assay_served(of_image bigint, at timestamptz, upto bigint, by_machine boolean)
RETURNS TABLE (id bigint) LANGUAGE sql STABLE ROWS 1 AS $$
  SELECT verdict.id FROM verdict
  WHERE verdict.image_pk = of_image AND NOT verdict.shadow AND verdict.created_at <= at AND verdict.id <= upto
    AND CASE WHEN verdict.decided_by = 'human' THEN NOT by_machine
        ELSE verdict.bundle_version NOT IN (SELECT version FROM assay_withdrawn(at)) END
  ORDER BY verdict.decided_by = 'human' DESC, verdict.id DESC LIMIT 1
$$
"""
# Of an image that had nothing to serve, the last that was said of it is what platforms know.
_ANNOUNCE = """
CREATE OR REPLACE FUNCTION assay_announce_verdicts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_delivery (endpoint_id, event, payload)
  SELECT endpoint.id, 'verdict.created', jsonb_build_object('verdict_id', made.id)
  FROM webhook_endpoint AS endpoint CROSS JOIN made
  WHERE endpoint.disabled_at IS NULL AND 'verdict.created' = ANY (endpoint.events) AND NOT made.shadow
    AND (made.decided_by = 'human' OR made.bundle_version NOT IN (SELECT version FROM assay_withdrawn('infinity')))
  UNION ALL
  SELECT endpoint.id, 'verdict.changed', jsonb_build_object('verdict_id', served.id, 'previous', former.verdict)
  FROM webhook_endpoint AS endpoint CROSS JOIN made
  CROSS JOIN LATERAL assay_served(made.image_pk, 'infinity', made.id, false) AS now_served
  JOIN verdict AS served ON served.id = now_served.id
  LEFT JOIN LATERAL assay_served(made.image_pk, 'infinity', made.id - 1, false) AS then_served ON true
  CROSS JOIN LATERAL (
    SELECT verdict FROM verdict
    WHERE image_pk = made.image_pk AND NOT shadow AND id < made.id AND (then_served.id IS NULL OR id = then_served.id)
    ORDER BY id DESC LIMIT 1
  ) AS former
  WHERE endpoint.disabled_at IS NULL AND 'verdict.changed' = ANY (endpoint.events) AND NOT made.shadow
    AND served.verdict <> former.verdict;
  RETURN NULL;
END $$
"""
_SCHEMA_BEFORE = Path(__file__).with_name("2026_11_21_quiet_heatmaps.sql")
_ANNOUNCE_BEFORE = re.compile(r"CREATE (FUNCTION assay_announce_verdicts\(\).*?\nEND \$\$;)", re.DOTALL)
_WITHDRAWS = sa.text("withdraws IS NOT NULL")
_DECIDED_BY = "decided_by IN ('machine', 'human', 'provenance', {}'duplicate')"
_FRESH = sa.text("SELECT NOT EXISTS (SELECT FROM image) AND (SELECT count(*) FROM policy) = 1")


def upgrade() -> None:
    """Add the marks, the functions and the columns."""
    op.add_column("promotion", sa.Column("withdraws", sa.Text(), nullable=True))
    op.create_foreign_key(op.f("fk_promotion_withdraws"), "promotion", "bundle", ["withdraws"], ["version"])
    op.create_index("ix_promotion_withdraws", "promotion", ["withdraws"], postgresql_where=_WITHDRAWS)
    op.create_index("ix_promotion_bundle_version_id", "promotion", ["bundle_version", "id"])
    for statement in (_WITHDRAWN, _SERVED, _ANNOUNCE):
        op.execute(statement)
    op.drop_constraint(op.f("ck_verdict_decided_by"), "verdict")
    op.create_check_constraint(op.f("ck_verdict_decided_by"), "verdict", _DECIDED_BY.format("'declared', "))
    # Whoever starts today lets a file that says it is AI-generated be labelled so; nobody else's verdicts change.
    first = "decides" if op.get_bind().scalar(_FRESH) else "uncertain"
    op.add_column("policy", sa.Column("declared_origin", sa.Text(), server_default=first, nullable=False))
    op.alter_column("policy", "declared_origin", server_default="uncertain")
    op.create_check_constraint(
        op.f("ck_policy_declared_origin"), "policy", "declared_origin IN ('decides', 'uncertain', 'ignore')"
    )
    op.add_column("bundle", sa.Column("figures", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    """Take it back; fails where a declaration has decided a verdict."""
    op.drop_column("bundle", "figures")
    op.drop_column("policy", "declared_origin")
    op.drop_constraint(op.f("ck_verdict_decided_by"), "verdict")
    op.create_check_constraint(op.f("ck_verdict_decided_by"), "verdict", _DECIDED_BY.format(""))
    (announce,) = _ANNOUNCE_BEFORE.findall(_SCHEMA_BEFORE.read_text(encoding="utf-8"))
    op.execute(f"CREATE OR REPLACE {announce}")
    op.execute("DROP FUNCTION assay_served(bigint, timestamptz, bigint, boolean)")
    op.execute("DROP FUNCTION assay_withdrawn(timestamptz)")
    op.drop_index("ix_promotion_bundle_version_id", "promotion")
    op.drop_index("ix_promotion_withdraws", "promotion", postgresql_where=_WITHDRAWS)
    op.drop_constraint(op.f("fk_promotion_withdraws"), "promotion")
    op.drop_column("promotion", "withdraws")
