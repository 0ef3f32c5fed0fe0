"""label duplicates: labels reach images of the same bytes, whichever comes first; an index for the audit slice."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_label_duplicates"
down_revision = "2026_11_21_challengers"
branch_labels = None
depends_on = None

# Whoever learns an image's content asks what people said of other images of the same bytes; the lock lets a label that
# is given at this very moment be seen by one of the two. The label that people gave last is served.
_INHERIT = """
CREATE FUNCTION assay_inherit_labels() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.sha256 IS NOT DISTINCT FROM NEW.sha256 THEN
    RETURN NULL;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('assay.content.' || NEW.sha256));
  WITH opinion AS (
    SELECT DISTINCT ON (label.reviewer) label.id, label.label, label.reviewer, label.reason
    FROM label JOIN image ON image.id = label.image_pk
    WHERE image.sha256 = NEW.sha256 AND image.id <> NEW.id AND image.erased_at IS NULL
    ORDER BY label.reviewer, label.id DESC
  ), inherited AS (
    INSERT INTO label (image_pk, label, reviewer, reason, of_duplicate)
    SELECT NEW.id, label, reviewer, reason, true FROM opinion ORDER BY id
  )
  INSERT INTO verdict (image_pk, verdict, decided_by, detectors, provenance, reviewer, reason, source)
  SELECT NEW.id, label, 'human', '{}', '{}', reviewer, reason, NEW.source FROM opinion ORDER BY id DESC LIMIT 1;
  RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER inherit_labels AFTER INSERT OR UPDATE OF sha256 ON image FOR EACH ROW
  WHEN (NEW.sha256 IS NOT NULL) EXECUTE FUNCTION assay_inherit_labels()
"""
_PLACE = "(('x'::text || \"right\"(sha256, 8))::bit(32)::bigint)"


def upgrade() -> None:
    """Mark labels that came from another image of the same bytes, and let the database hand them on."""
    op.add_column("label", sa.Column("of_duplicate", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index("ix_image_audit", "image", [sa.text(_PLACE), "id"], postgresql_where=sa.text("erased_at IS NULL"))
    op.execute(_INHERIT)
    op.execute(_TRIGGER)


def downgrade() -> None:
    """Take it back; labels that were handed on stay labels."""
    op.execute("DROP TRIGGER inherit_labels ON image")
    op.execute("DROP FUNCTION assay_inherit_labels()")
    op.drop_index("ix_image_audit", table_name="image")
    op.drop_column("label", "of_duplicate")
