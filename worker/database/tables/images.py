"""Images: objects in the store."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Integer, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, BIT, BitString
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base

# A place that the content gives the image among 2^32, by other digits than those that training cuts its shares along.
AUDIT_PLACE = text("(('x'::text || \"right\"(sha256, 8))::bit(32)::bigint)")


class Image(Base):
    """An object in the store: bucket, key and version; never a second row for one version."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("bucket", "key", "version"),
        Index("ix_image_image_id_stored_at_id", "image_id", "stored_at", "id"),
        Index("ix_image_sha256", "sha256"),
        Index("ix_image_audit", AUDIT_PLACE, "id", postgresql_where=text("erased_at IS NULL")),
        # Without a list of pending entries: a search would have to read all of it each time.
        Index("ix_image_pdq_bands", "pdq_bands", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_id: Mapped[str]  # the platform's own id
    source: Mapped[str]  # where on the platform it comes from; thresholds may differ
    bucket: Mapped[str]
    key: Mapped[str]
    version: Mapped[str]  # VersionId, else ETag
    versioned: Mapped[bool]  # whether `version` is a VersionId
    sha256: Mapped[str | None]  # of the bytes, hex, known once fetched
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    width: Mapped[int | None]
    height: Mapped[int | None]
    pdq: Mapped[BitString | None] = mapped_column(BIT(256))  # perceptual hash, null where the picture is too plain
    pdq_bands: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))  # the same, cut for the index
    truncated: Mapped[bool] = mapped_column(server_default=text("false"))  # it breaks off; what is missing is white
    # The store has shown this state, at its event or since; what an event alone claims hides no such state.
    confirmed: Mapped[bool] = mapped_column(server_default=text("true"))
    # When the store took it in, never later than we heard of it; of the versions of an image the newest is served.
    stored_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    erased_at: Mapped[datetime | None]


class Thumbnail(Base):
    """A small picture of an image, in the artifact bucket."""

    __tablename__ = "thumbnail"
    __table_args__ = (Index("ix_thumbnail_created_at", "created_at"),)

    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    key: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
