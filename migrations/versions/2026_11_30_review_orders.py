"""review orders: disputed labels and look-alikes wait for people too, and leads set reasons and goals."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "2026_11_30_review_orders"
down_revision = "2026_11_30_exports"
branch_labels = None
depends_on = None

# A person's verdict ends the waiting for a first look; what people dispute goes on waiting.
_KEEP = """
CREATE OR REPLACE FUNCTION assay_keep_review_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE review_item SET uncertain = false, claimed_by = NULL, claimed_until = NULL FROM made
  WHERE review_item.image_pk = made.image_pk AND NOT made.shadow AND review_item.disputed_at IS NOT NULL
    AND (made.verdict <> 'uncertain' OR made.decided_by = 'human');
  DELETE FROM review_item USING made
  WHERE review_item.image_pk = made.image_pk AND NOT made.shadow AND review_item.disputed_at IS NULL
    AND (made.verdict <> 'uncertain' OR made.decided_by = 'human');
  INSERT INTO review_item (image_pk, source, distance)
  SELECT DISTINCT ON (made.image_pk) made.image_pk, made.source, abs(coalesce(made.probability, 0.5) - 0.5)
  FROM made
  WHERE NOT made.shadow AND made.verdict = 'uncertain' AND made.decided_by <> 'human'
    AND NOT EXISTS (SELECT FROM verdict AS human WHERE human.image_pk = made.image_pk AND human.decided_by = 'human')
  ORDER BY made.image_pk, made.id DESC
  ON CONFLICT (image_pk) DO UPDATE SET source = excluded.source, distance = excluded.distance, uncertain = true;
  RETURN NULL;
END $$
"""
_KEPT_BEFORE = """
CREATE OR REPLACE FUNCTION assay_keep_review_queue() RETURNS trigger LANGUAGE plpgsql AS $$
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
# The newest word of each voice counts, over all images of the same bytes.
_DISPUTE = """
CREATE FUNCTION assay_keep_disputes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  one record;
BEGIN
  FOR one IN SELECT DISTINCT image.id, image.sha256, image.source FROM made JOIN image ON image.id = made.image_pk
             WHERE NOT made.of_duplicate AND image.erased_at IS NULL LOOP
    IF (SELECT count(DISTINCT word.label) > 1 FROM (
          SELECT DISTINCT ON (coalesce(label.voice, lower(btrim(label.reviewer)))) label.label
          FROM label JOIN image ON image.id = label.image_pk
          WHERE image.erased_at IS NULL AND (image.id = one.id OR image.sha256 = one.sha256)
          ORDER BY coalesce(label.voice, lower(btrim(label.reviewer))), label.id DESC) AS word) THEN
      INSERT INTO review_item (image_pk, source, distance, uncertain, disputed_at) VALUES (one.id, one.source, 0, false, now())
      ON CONFLICT (image_pk) DO UPDATE
      SET disputed_at = coalesce(review_item.disputed_at, now()), claimed_by = NULL, claimed_until = NULL;
    ELSE
      DELETE FROM review_item USING image
      WHERE image.id = review_item.image_pk AND (image.id = one.id OR image.sha256 = one.sha256)
        AND review_item.disputed_at IS NOT NULL;
    END IF;
  END LOOP;
  RETURN NULL;
END $$
"""
_UNCERTAIN = sa.text("uncertain")


def upgrade() -> None:
    """Let the queue hold disputes, look-alikes and claims of other images; make room for what leads set."""
    op.add_column("review_item", sa.Column("uncertain", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column("review_item", sa.Column("disputed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("review_item", sa.Column("cluster", sa.BigInteger(), nullable=True))
    op.add_column("review_item", sa.Column("compared_at", sa.DateTime(timezone=True), nullable=True))
    for name, columns in _FIRST_LOOK.items():
        op.drop_index(name, "review_item")
        op.create_index(name, "review_item", columns, postgresql_where=_UNCERTAIN)
    op.create_index(
        "ix_review_item_disputed_at",
        "review_item",
        ["disputed_at", "image_pk"],
        postgresql_where=sa.text("disputed_at IS NOT NULL"),
    )
    op.create_index(
        "ix_review_item_cluster",
        "review_item",
        ["cluster", "distance", "image_pk"],
        postgresql_where=sa.text("cluster IS NOT NULL"),
    )
    op.create_index(
        "ix_review_item_not_compared",
        "review_item",
        ["image_pk"],
        postgresql_where=sa.text("uncertain AND compared_at IS NULL"),
    )
    op.create_table(
        "review_cluster",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("disagreement", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_cluster")),
    )
    op.create_index("ix_review_cluster_images", "review_cluster", [sa.text("images DESC"), "id"])
    op.create_index("ix_review_cluster_created_at", "review_cluster", ["created_at"])
    op.create_table(
        "review_terms",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reasons", ARRAY(sa.Text()), nullable=False),
        sa.Column("daily_goal", sa.Integer(), nullable=True),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("daily_goal > 0", name=op.f("ck_review_terms_daily_goal")),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_review_terms")),
    )
    op.create_index("ix_label_reviewer_created_at", "label", ["reviewer", "created_at"])
    op.execute(_KEEP)
    op.execute(_DISPUTE)
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for function in ("assay_keep_review_queue", "assay_keep_disputes"):
        op.execute(f"ALTER FUNCTION {function}() SECURITY DEFINER SET search_path = {schema}, pg_temp")
    op.execute(
        "CREATE TRIGGER keep_disputes AFTER INSERT ON label REFERENCING NEW TABLE AS made "
        "FOR EACH STATEMENT EXECUTE FUNCTION assay_keep_disputes()"
    )


def downgrade() -> None:
    """Keep images that wait for a first look alone."""
    op.execute("DROP TRIGGER keep_disputes ON label")
    op.execute("DROP FUNCTION assay_keep_disputes()")
    op.execute(_KEPT_BEFORE)
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(f"ALTER FUNCTION assay_keep_review_queue() SECURITY DEFINER SET search_path = {schema}, pg_temp")
    op.execute("DELETE FROM review_item WHERE NOT uncertain")
    op.drop_index("ix_label_reviewer_created_at", "label")
    op.drop_table("review_terms")
    op.drop_table("review_cluster")
    for name in ("ix_review_item_disputed_at", "ix_review_item_cluster", "ix_review_item_not_compared"):
        op.drop_index(name, "review_item")
    for name, columns in _FIRST_LOOK.items():
        op.drop_index(name, "review_item")
        op.create_index(name, "review_item", columns)
    for name in ("uncertain", "disputed_at", "cluster", "compared_at"):
        op.drop_column("review_item", name)


_FIRST_LOOK = {
    "ix_review_item_distance": ["distance", "image_pk"],
    "ix_review_item_source_distance": ["source", "distance", "image_pk"],
    "ix_review_item_queued_at": ["queued_at", "image_pk"],
}
