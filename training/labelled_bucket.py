"""Labelled bucket: an S3 prefix whose labels are in the database → one Parquet file in the run's cache.

Only what enough reviewers agree on is taken, and nothing of the audit slice; images erased or gone from the store are
left out. The file's name holds what was listed, so new labels or new images are fetched anew and nothing else is.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tqdm import tqdm

from training.collection import DataError, stamp
from worker.errors import PermanentError
from worker.fetch import ObjectStore, RefusedError, object_store
from worker.settings import Settings
from worker.store.labelled import LabelState, LabelTerms, standings
from worker.store.session import connect
from worker.store.tables import Image

_SCHEMA = pa.schema([("name", pa.string()), ("image", pa.binary()), ("label", pa.int8()), ("source", pa.string())])
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Labelled:
    """A labelled image version in the store."""

    bucket: str
    key: str
    version: str
    versioned: bool
    source: str
    label: int


def local_data(place: str, cache: Path, settings: Settings) -> Path:
    """Give data as a local path: `s3://bucket/prefix` is fetched into the cache, everything else is a path already.

    Raises:
        DataError: nothing below the prefix carries a label.
        TransientError: the database or the store does not answer.
    """
    if not place.startswith("s3://"):
        return Path(place)
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    database = connect(settings.database_url.get_secret_value(), pool_size=1)
    try:
        with database.transaction() as session:
            terms = LabelTerms(settings.label_reviewers, settings.audit_share)
            listed = labelled_images(session, bucket, prefix, terms)
    finally:
        database.engine.dispose()
    if not listed:
        raise DataError(
            f"on no image below {place} do {settings.label_reviewers} reviewers agree; label images through the API or "
            "the console first, or set ASSAY_LABEL_REVIEWERS"
        )
    return fetch(listed, object_store(settings), cache, settings.max_image_bytes)


def labelled_images(session: Session, bucket: str, prefix: str, terms: LabelTerms) -> list[Labelled]:
    """List the images below a prefix, by key, that reviewers agree on and that are not in the audit slice."""
    contents = standings(terms)
    content = func.coalesce(Image.sha256, func.concat("image:", Image.id))
    found = session.execute(
        select(Image, contents.c.label)
        .join(contents, contents.c.content == content)
        .where(contents.c.state == LabelState.AGREED, ~contents.c.audit)
        .where(Image.bucket == bucket, Image.key.startswith(prefix, autoescape=True), Image.erased_at.is_(None))
        .order_by(Image.key, Image.id)
    )
    return [
        Labelled(image.bucket, image.key, image.version, image.versioned, image.source, int(label == "ai_generated"))
        for image, label in found
    ]


def fetch(listed: Sequence[Labelled], store: ObjectStore, cache: Path, max_bytes: int) -> Path:
    """Copy what was listed into a Parquet file, unless that was done before; what is gone is left out and counted."""
    file = cache / f"bucket-{stamp([list(vars(image).values()) for image in listed])[:16]}.parquet"
    if file.exists():
        return file
    cache.mkdir(parents=True, exist_ok=True)
    half, gone = file.with_suffix(".tmp"), 0
    with pq.ParquetWriter(half, _SCHEMA) as writer:
        rows: list[dict[str, object]] = []
        for image in tqdm(listed, desc="fetch", mininterval=2, file=sys.stderr):
            try:
                data = store.fetch(
                    image.bucket, image.key, image.version, versioned=image.versioned, max_bytes=max_bytes
                )
            except (PermanentError, RefusedError):
                gone += 1
                continue
            rows.append({"name": image.key, "image": data, "label": image.label, "source": image.source})
            if len(rows) == _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
    if gone:
        tqdm.write(f"left out {gone} of {len(listed)} labelled images that the store does not give", sys.stderr)
    half.rename(file)
    return file
