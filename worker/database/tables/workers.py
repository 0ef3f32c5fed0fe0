"""Workers: the processes that scan now, each for as long as it lives."""

from datetime import datetime

from sqlalchemy import Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base


class Worker(Base):
    """A process that scans. It holds an advisory lock on its id, which ends with the process."""

    __tablename__ = "worker"

    # An int4, since an advisory lock of two keys takes no longer one.
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    bundles: Mapped[list[str]]  # versions that are loaded
    bulk_scans: Mapped[int]  # most scans of history that it has in hand at once
