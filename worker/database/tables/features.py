"""Features of images, stored at scan time: what a head can be fitted on again without the pixels."""

from datetime import datetime

from sqlalchemy import ARRAY, Double, ForeignKey, Index, LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json


class Feature(Base):
    """What a bundle's CLIP detector saw in an image, with all else that its probability is made of."""

    __tablename__ = "feature"
    __table_args__ = (Index("ix_feature_created_at", "created_at"),)

    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    bundle_version: Mapped[str] = mapped_column(ForeignKey("bundle.version"), primary_key=True)
    features: Mapped[bytes] = mapped_column(LargeBinary)  # float16, little-endian; mean over views, normalised
    logits: Mapped[Json]  # detector's name -> raw logit
    covariates: Mapped[list[float]] = mapped_column(ARRAY(Double))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
