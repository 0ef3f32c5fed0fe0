"""fetches: files that platforms name by address; callbacks: where they want to be told of one image."""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_fetches"
down_revision = "2026_11_30_changes"
branch_labels = None
depends_on = None

_OPEN = sa.text("state IN ('queued', 'leased')")
_ANNOUNCE = """
CREATE FUNCTION assay_announce_fetch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO change (event, payload)
  VALUES ('fetch.failed', jsonb_build_object('fetch_id', NEW.id, 'reason', NEW.reason));
  RETURN NULL;
END $$
"""
# Beside the endpoints that listen, whoever wants to be told of this one image: once, by what ends it.
_DELIVER = """
CREATE OR REPLACE FUNCTION assay_deliver_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_delivery (endpoint_id, event, payload)
  SELECT endpoint.id, made.event, made.payload
  FROM made JOIN webhook_endpoint AS endpoint ON made.event = ANY (endpoint.events)
  WHERE endpoint.disabled_at IS NULL;
  WITH ended AS (
    SELECT verdict.image_pk, made.event, made.payload
    FROM made JOIN verdict ON verdict.id = (made.payload ->> 'verdict_id')::bigint
    WHERE made.event = 'verdict.created'
    UNION ALL
    SELECT scan.image_pk, made.event, made.payload
    FROM made JOIN scan ON scan.id = (made.payload ->> 'scan_id')::bigint
    WHERE made.event IN ('scan.rejected', 'scan.dead')
  ), waiting AS (
    DELETE FROM callback USING ended WHERE callback.image_pk = ended.image_pk
    RETURNING callback.endpoint_id, callback.url, ended.event, ended.payload
  )
  INSERT INTO webhook_delivery (endpoint_id, event, payload, url)
  SELECT endpoint_id, event, payload, url FROM waiting
  UNION ALL
  SELECT url_fetch.endpoint_id, made.event, made.payload, url_fetch.callback_url
  FROM made JOIN url_fetch ON url_fetch.id = (made.payload ->> 'fetch_id')::bigint
  WHERE made.event = 'fetch.failed' AND url_fetch.endpoint_id IS NOT NULL AND url_fetch.callback_url IS NOT NULL;
  RETURN NULL;
END $$
"""
# Tells of an image at once where it has ended, else when it does. Its live scan is held meanwhile: one that ends right
# now is waited for, so nothing falls between the two.
_CALL_BACK = """
CREATE FUNCTION assay_call_back(of_image bigint, by_endpoint bigint, at_url text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  ended scan;
  served bigint;
BEGIN
  SELECT * INTO ended FROM scan WHERE image_pk = of_image AND kind = 'live' FOR SHARE;
  SELECT id INTO served FROM assay_served(of_image, 'infinity', 9223372036854775807, false);
  IF served IS NOT NULL THEN
    INSERT INTO webhook_delivery (endpoint_id, event, payload, url)
    VALUES (by_endpoint, 'verdict.created', jsonb_build_object('verdict_id', served), at_url);
  ELSIF ended.state IN ('rejected', 'dead') THEN
    INSERT INTO webhook_delivery (endpoint_id, event, payload, url)
    VALUES (by_endpoint, 'scan.' || ended.state,
            jsonb_build_object('scan_id', ended.id, 'reason', ended.reason), at_url);
  ELSE
    INSERT INTO callback (image_pk, endpoint_id, url) VALUES (of_image, by_endpoint, at_url) ON CONFLICT DO NOTHING;
  END IF;
END $$
"""
_FUNCTIONS = ("assay_announce_fetch()", "assay_deliver_changes()", "assay_call_back(bigint, bigint, text)")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "url_fetch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), server_default="normal", nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("token", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=True),
        sa.Column("callback_url", sa.Text(), nullable=True),
        sa.Column("image_pk", sa.BigInteger(), nullable=True),
        sa.Column("api_key_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'leased', 'done', 'failed')", name=op.f("ck_url_fetch_state")),
        sa.CheckConstraint("priority IN ('high', 'normal', 'low')", name=op.f("ck_url_fetch_priority")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_url_fetch_endpoint_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_url_fetch_image_pk")),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("fk_url_fetch_api_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_url_fetch")),
    )
    op.create_index("ix_url_fetch_due", "url_fetch", ["due_at"], postgresql_where=_OPEN)
    op.create_index(
        "uq_url_fetch_open",
        "url_fetch",
        [sa.text("md5((image_id || ' '::text) || url)")],
        unique=True,
        postgresql_where=_OPEN,
    )
    op.create_index("ix_url_fetch_image_id_id", "url_fetch", ["image_id", "id"])
    op.create_index("ix_url_fetch_state_id", "url_fetch", ["state", "id"])
    op.create_index("ix_url_fetch_image_pk", "url_fetch", ["image_pk"])
    op.create_index("ix_url_fetch_finished_at", "url_fetch", ["finished_at"])
    has_endpoint = sa.text("endpoint_id IS NOT NULL")
    op.create_index("ix_url_fetch_endpoint_id", "url_fetch", ["endpoint_id"], postgresql_where=has_endpoint)
    op.create_table(
        "callback",
        sa.Column("image_pk", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name=op.f("fk_callback_image_pk")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_callback_endpoint_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_pk", "endpoint_id", "url", name=op.f("pk_callback")),
    )
    op.create_index(op.f("ix_callback_endpoint_id"), "callback", ["endpoint_id"])
    op.add_column("webhook_delivery", sa.Column("url", sa.Text(), nullable=True))
    for statement in (_ANNOUNCE, _DELIVER, _CALL_BACK):
        op.execute(statement)
    _let_write(_FUNCTIONS)
    op.execute(
        "CREATE TRIGGER announce AFTER UPDATE OF state ON url_fetch FOR EACH ROW "
        "WHEN (OLD.state <> 'failed' AND NEW.state = 'failed') EXECUTE FUNCTION assay_announce_fetch()"
    )


def downgrade() -> None:
    """Forget what was to be fetched, and who wanted to be told."""
    changes = import_module("migrations.versions.2026_11_30_changes")
    op.execute(changes._DELIVER.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))  # noqa: SLF001
    _let_write(("assay_deliver_changes()",))
    op.execute("DROP FUNCTION assay_call_back(bigint, bigint, text)")
    op.drop_column("webhook_delivery", "url")
    op.drop_table("callback")
    op.drop_table("url_fetch")
    op.execute("DROP FUNCTION assay_announce_fetch()")


def _let_write(functions: tuple[str, ...]) -> None:
    """Let functions write with their owner's rights, under a search path of their own; see `writers`."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for function in functions:
        op.execute(f"ALTER FUNCTION {function} SECURITY DEFINER SET search_path = {schema}, pg_temp")
