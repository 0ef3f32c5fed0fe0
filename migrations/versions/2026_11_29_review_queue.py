"""review queue: images whose verdict is uncertain wait for a person."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_review_queue"
down_revision = "2026_11_21_quiet_heatmaps"
branch_labels = None
depends_on = None

_KEEP = """
CREATE FUNCTION assay_keep_review_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM review_item USING made
  WHERE review_item.image_pk = made.image_pk AND NOT made.shadow AND (made.verdict <> 'uncertain' OR made.decided_by = 'human');
  INSERT INTO review_item (image_pk, source, distance)
  SELECT DISTINCT ON (made.image_pk) made.image_pk, made.source, abs(coalesce(made.probability, 0.5) - 0.5)
  FROM made
  WHERE NOT made.shadow AND made.verdict = 'uncertain' AND made.decided_by <> 'human'
    AND NOT EXISTS (SELECT FROM verdict AS human WHERE human.image_pk = made.image_pk AND human.decided_by = 'human')
  ORDER BY made.image_pk, made.id DESC
  ON CONFLICT (image_pk) DO UPDATE SET source = excluded.source, distance = excluded.distance;
  RETURN NULL;
END $$
"""
_FORGET = """
CREATE FUNCTION assay_forget_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM review_item WHERE image_pk = NEW.id;
  DELETE FROM review_pass WHERE image_pk = NEW.id;
  RETURN NULL;
END $$
"""
_FILL = """
INSERT INTO review_item (image_pk, source, distance, queued_at)
SELECT DISTINCT ON (image_pk) image_pk, source, abs(coalesce(probability, 0.5) - 0.5), created_at
FROM verdict AS newest
WHERE NOT shadow AND verdict = 'uncertain' AND decided_by <> 'human'
  AND NOT EXISTS (SELECT FROM verdict AS later WHERE later.image_pk = newest.image_pk AND NOT later.shadow
                  AND (later.id > newest.id OR later.decided_by = 'human'))
  AND EXISTS (SELECT FROM image WHERE image.id = newest.image_pk AND image.erased_at IS NULL)
ORDER BY image_pk, id DESC
"""


def upgrade() -> None:
    """Make the queue, keep it by triggers, and fill it from what is served now."""
    op.create_table(
        "review_item",
        sa.Column("image_pk", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("distance", sa.Double(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("claimed_by", sa.BigInteger(), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_review_item_image_pk")),
        sa.ForeignKeyConstraint(["claimed_by"], ["api_key.id"], name=op.f("fk_review_item_claimed_by")),
        sa.PrimaryKeyConstraint("image_pk", name=op.f("pk_review_item")),
    )
    op.create_index("ix_review_item_distance", "review_item", ["distance", "image_pk"])
    op.create_index("ix_review_item_source_distance", "review_item", ["source", "distance", "image_pk"])
    op.create_index("ix_review_item_queued_at", "review_item", ["queued_at", "image_pk"])
    op.create_index("ix_review_item_claimed_by", "review_item", ["claimed_by"])
    op.create_table(
        "review_pass",
        sa.Column("image_pk", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("api_key_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cannot_tell", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_review_pass_image_pk")),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("fk_review_pass_api_key_id")),
        sa.PrimaryKeyConstraint("image_pk", "api_key_id", name=op.f("pk_review_pass")),
    )
    op.create_index("ix_label_created_at", "label", ["created_at"])
    op.execute(_KEEP)
    op.execute(
        "CREATE TRIGGER keep_review_queue AFTER INSERT ON verdict REFERENCING NEW TABLE AS made "
        "FOR EACH STATEMENT EXECUTE FUNCTION assay_keep_review_queue()"
    )
    op.execute(_FORGET)
    op.execute(
        "CREATE TRIGGER forget_review AFTER UPDATE OF erased_at ON image FOR EACH ROW "
        "WHEN (NEW.erased_at IS NOT NULL) EXECUTE FUNCTION assay_forget_review()"
    )
    op.execute(_FILL)


def downgrade() -> None:
    """Remove the queue; labels and verdicts stay."""
    op.execute("DROP TRIGGER forget_review ON image")
    op.execute("DROP FUNCTION assay_forget_review()")
    op.execute("DROP TRIGGER keep_review_queue ON verdict")
    op.execute("DROP FUNCTION assay_keep_review_queue()")
    op.drop_index("ix_label_created_at", "label")
    op.drop_table("review_pass")
    op.drop_table("review_item")
