"""withdrawn review: a late verdict of a bundle that was rolled back moves nothing in the review queue."""

from alembic import op
from sqlalchemy import text

revision = "2026_11_30_withdrawn_review"
down_revision = "2026_11_30_image_context"
branch_labels = None
depends_on = None

# A rollback has put into the queue what is uncertain again; what its bundle says later is not served.
_WITHDRAWN = """DECLARE
  withdrawn text[] := ARRAY(SELECT version FROM assay_withdrawn('infinity'));
"""
_COUNTS = "AND (made.decided_by = 'human' OR made.bundle_version <> ALL (withdrawn))"
_KEEP = """
CREATE OR REPLACE FUNCTION assay_keep_review_queue() RETURNS trigger LANGUAGE plpgsql AS $$
{declared}BEGIN
  UPDATE review_item SET uncertain = false, claimed_by = NULL, claimed_until = NULL FROM made
  WHERE review_item.image_pk = made.image_pk AND NOT made.shadow AND review_item.disputed_at IS NOT NULL
    AND (made.verdict <> 'uncertain' OR made.decided_by = 'human') {counts};
  DELETE FROM review_item USING made
  WHERE review_item.image_pk = made.image_pk AND NOT made.shadow AND review_item.disputed_at IS NULL
    AND (made.verdict <> 'uncertain' OR made.decided_by = 'human') {counts};
  INSERT INTO review_item (image_pk, source, distance)
  SELECT DISTINCT ON (made.image_pk) made.image_pk, made.source, abs(coalesce(made.probability, 0.5) - 0.5)
  FROM made
  WHERE NOT made.shadow AND made.verdict = 'uncertain' AND made.decided_by <> 'human' {counts}
    AND NOT EXISTS (SELECT FROM verdict AS human WHERE human.image_pk = made.image_pk AND human.decided_by = 'human')
  ORDER BY made.image_pk, made.id DESC
  ON CONFLICT (image_pk) DO UPDATE SET source = excluded.source, distance = excluded.distance, uncertain = true;
  RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Let verdicts count alone that are served."""
    _replace(declared=_WITHDRAWN, counts=_COUNTS)


def downgrade() -> None:
    """Let every verdict count again."""
    _replace(declared="", counts="")


def _replace(**parts: str) -> None:
    """Replace the function; it goes on with its owner's rights, which a replacement forgets."""
    op.execute(_KEEP.format(**parts))
    schema = op.get_bind().scalar(text("SELECT quote_ident(current_schema())"))
    op.execute(f"ALTER FUNCTION assay_keep_review_queue() SECURITY DEFINER SET search_path = {schema}, pg_temp")
