"""Images as they arrive: an upsert that makes the live scan with them."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.store.tables import Image, Scan, ScanKind

LIVE_QUEUE = "scan.live"
BULK_QUEUE = "scan.bulk"


@dataclass(frozen=True)
class NewImage:
    """An object version about to be known; fields as in :class:`~worker.store.tables.Image`."""

    image_id: str
    source: str
    bucket: str
    key: str
    version: str
    versioned: bool
    size_bytes: int | None


def insert_image_and_scan(session: Session, image: NewImage, queue: str = LIVE_QUEUE) -> tuple[int, int, bool]:
    """Make the image row and its one live scan unless they exist.

    Returns:
        Primary keys of image and scan, and whether the scan is new.
    """
    statement = upsert(Image).values(**vars(image)).on_conflict_do_nothing().returning(Image.id)
    image_pk = session.scalar(statement)
    if image_pk is None:
        image_pk = session.scalars(
            select(Image.id).filter_by(bucket=image.bucket, key=image.key, version=image.version)
        ).one()
    scan = (
        upsert(Scan)
        .values(image_pk=image_pk, kind=ScanKind.LIVE, queue=queue)
        .on_conflict_do_nothing()
        .returning(Scan.id)
    )
    scan_id = session.scalar(scan)
    if scan_id is not None:
        return image_pk, scan_id, True
    known = select(Scan.id).filter_by(image_pk=image_pk, kind=ScanKind.LIVE)
    return image_pk, session.scalars(known).one(), False


def unknown_versions(session: Session, bucket: str, versions: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those (key, version) pairs of a bucket that have no image row yet."""
    keys = {key for key, _ in versions}
    rows = session.execute(select(Image.key, Image.version).where(Image.bucket == bucket, Image.key.in_(keys)))
    return set(versions) - {(key, version) for key, version in rows}
