"""Labelled bucket: images of the store whose labels are in the database → one Parquet file in a run's folder.

Only what enough reviewers agree on is taken, and nothing of the audit slice; images erased or gone from the store are
left out. The file's name holds what was listed, so new labels or new images are fetched anew and nothing else is.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import and_, or_, select, true
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session
from tqdm import tqdm

from training.data.collection import DataError, stamp
from worker.database.label_agreement import LabelState, LabelTerms, content_of_image, standings
from worker.database.session import connect
from worker.database.tables import Image
from worker.errors import PermanentError
from worker.objects.object_store import ObjectStore, object_store
from worker.objects.trouble import RefusedError
from worker.settings import Settings

_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("image", pa.binary()),
        ("label", pa.int8()),
        ("source", pa.string()),
        ("part", pa.string()),
    ]
)
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class LabelledImage:
    """An image version in the store that reviewers agree on.

    Attributes:
        image_pk: its row.
        bucket, key, version, versioned: where it lies.
        source: where on the platform it comes from.
        label: 1 = AI-generated.
        newest_id: of the newest label of its content.
    """

    image_pk: int
    bucket: str
    key: str
    version: str
    versioned: bool
    source: str
    label: int
    newest_id: int


# What a fetched image is called and which part it belongs to, told by what was listed and its bytes.
Naming = Callable[[LabelledImage, bytes], tuple[str, str]]


def local_data(place: str, cache: Path, settings: Settings) -> Path:
    """Give data as a local path: `s3://bucket/prefix` is fetched into the cache, everything else is a path already.

    Raises:
        DataError: on nothing below the prefix do enough reviewers agree.
        TransientError: the database or the store does not answer.
    """
    if not place.startswith("s3://"):
        return Path(place)
    terms = LabelTerms(settings.label_reviewers, settings.audit_share)
    database = connect(settings.database_url.get_secret_value(), pool_size=1)
    try:
        with database.transaction() as session:
            listed = labelled_images(session, terms, [bucket_and_prefix(place)])
    finally:
        database.engine.dispose()
    if not listed:
        raise DataError(
            f"on no image below {place} do {terms.reviewers} reviewers agree; label images through the API or the "
            "console first, or set ASSAY_LABEL_REVIEWERS"
        )
    file = cache / f"bucket-{stamp([list(asdict(image).values()) for image in listed])[:16]}.parquet"
    return fetch(listed, object_store(settings), file, settings.max_image_bytes, lambda image, _: (image.key, ""))


def bucket_and_prefix(place: str) -> tuple[str, str]:
    """Take `s3://bucket/prefix` apart."""
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    return bucket, prefix


def labelled_images(
    session: Session, terms: LabelTerms, places: Sequence[tuple[str, str]] = (), until: int | None = None
) -> list[LabelledImage]:
    """List one image of each content that reviewers agree on and that is not in the audit slice, by key.

    Args:
        session: of a transaction.
        terms: how many must agree, and how large the audit slice is.
        places: buckets and prefixes that the image must be below; anywhere without.
        until: labels up to this id.
    """
    contents, content = standings(terms, until), content_of_image()
    below = [and_(Image.bucket == bucket, Image.key.startswith(prefix, autoescape=True)) for bucket, prefix in places]
    rows = session.execute(
        select(Image, contents.c.label, contents.c.newest_id)
        .ext(distinct_on(content))
        .join(contents, contents.c.content == content)
        # Of bytes that are not known yet nobody can tell whether they are in the audit slice.
        .where(contents.c.state == LabelState.AGREED, ~contents.c.audit, Image.sha256.is_not(None))
        .where(or_(*below) if below else true(), Image.erased_at.is_(None))
        .order_by(content, Image.stored_at.desc(), Image.id.desc())
    )
    images = [
        LabelledImage(
            image.id,
            image.bucket,
            image.key,
            image.version,
            image.versioned,
            image.source,
            int(label == "ai_generated"),
            newest_id,
        )
        for image, label, newest_id in rows
    ]
    return sorted(images, key=lambda image: (image.key, image.image_pk))


def fetch(listed: Sequence[LabelledImage], store: ObjectStore, file: Path, max_bytes: int, naming: Naming) -> Path:
    """Copy what was listed into a Parquet file, unless it is there; what is gone is left out and counted."""
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
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
            name, part = naming(image, data)
            rows.append({"name": name, "image": data, "label": image.label, "source": image.source, "part": part})
            if len(rows) == _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
    if gone:
        tqdm.write(f"left out {gone} of {len(listed)} labelled images that the store does not give", sys.stderr)
    half.rename(file)
    return file
