"""Data of a refit: labels with what scans stored of their images, and what the base bundle's run kept to replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError
from PIL import Image as Pixels
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from training.collection import DataError, generator_or_default
from training.data import Rows
from training.evaluate_scores import BATCH
from training.gate import Origin
from training.refit import Seen
from worker.store.tables import Feature, Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session
    from types_boto3_s3.client import S3Client

    from training.labelled_bucket import Labelled
    from worker.detectors.bundle import Bundle, Scores

REPLAY = "replay.parquet"
_AT_ONCE = 5000


def stored(
    session: Session, labelled: Sequence[Labelled], versions: Sequence[str], names: Sequence[str], since: int
) -> Seen | None:
    """Read what scans have stored of labelled images.

    Args:
        session: of a transaction.
        labelled: what reviewers agree on.
        versions: bundles that see the same features; the newest scan by one of them counts.
        names: of their detectors, in order.
        since: labels beyond this one are new.

    Returns:
        None where nothing is stored of any of them.
    """
    by_pk = {image.image_pk: image for image in labelled}
    pks, rows = list(by_pk), list[_Row]()
    for start in range(0, len(pks), _AT_ONCE):
        found = session.execute(
            select(Feature.image_pk, Image.sha256, Feature.features, Feature.logits, Feature.covariates)
            .ext(distinct_on(Feature.image_pk))
            .join(Image, Image.id == Feature.image_pk)
            .where(Feature.image_pk.in_(pks[start : start + _AT_ONCE]), Feature.bundle_version.in_(versions))
            .order_by(Feature.image_pk, Feature.created_at.desc())
        )
        rows += [_Row(by_pk[row.image_pk], row) for row in found]
    if not rows:
        return None
    return Seen(
        features=np.stack([np.frombuffer(row.seen.features, "<f2") for row in rows]),
        others=np.array([[row.seen.logits[name] for name in names] for row in rows]),
        covariates=np.array([row.seen.covariates for row in rows]),
        labels=np.array([row.image.label for row in rows], dtype=np.int8),
        sources=np.array([row.image.source for row in rows]),
        generators=np.array([generator_or_default(None, row.image.label) for row in rows]),
        hashes=np.array([row.seen.sha256 or "" for row in rows]),
        origins=np.array([Origin.NEW if row.image.newest_id > since else Origin.EARLIER for row in rows], "U7"),
    )


class _Row(NamedTuple):
    image: Labelled
    seen: Any


def replayed(client: S3Client, bucket: str, prefix: str, work: Path) -> Seen | None:
    """Read what the base bundle's run kept of its held-out images; None where it kept nothing, as shipped ones."""
    file = work / REPLAY
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            client.download_file(bucket, prefix + REPLAY, str(file))
        except ClientError:
            return None
    columns = pq.read_table(file).to_pydict()
    count = len(columns["label"])
    return Seen(
        features=np.stack([np.frombuffer(row, "<f2") for row in columns["features"]]),
        others=np.array(columns["logits"]),
        covariates=np.array(columns["covariates"]),
        labels=np.array(columns["label"], dtype=np.int8),
        sources=np.array(columns["source"]),
        generators=np.array(columns["generator"]),
        hashes=np.array(columns["sha256"]),
        origins=np.full(count, Origin.KNOWN.value, dtype="U7"),
    )


def joined(labels: Seen | None, replay: Seen | None) -> Seen:
    """Put both together; a content that is in both counts as labelled.

    Raises:
        DataError: there is neither.
    """
    if labels is None:
        raise DataError(
            "no image that reviewers agree on has stored features of this bundle: features are stored by scans while "
            "ASSAY_FEATURE_DAYS is above 0; train with a recipe instead"
        )
    if replay is None:
        return labels
    rest = replay.take(~np.isin(replay.hashes, labels.hashes))
    return Seen(**{name: np.concatenate([value, getattr(rest, name)]) for name, value in vars(labels).items()})


def keep_for_replay(bundle: Bundle, rows: Rows, file: Path) -> None:
    """Write what a bundle sees in held-out rows of the recipe's own data, so that a refit can replay them.

    Nothing is written where the bundle tells no features. People's uploads must not be among the rows.
    """
    scores: list[Scores] = []
    covariates: list[tuple[float, ...]] = []
    for start in range(0, len(rows), BATCH):
        batch = [bundle.prepare(Pixels.fromarray(pixels)) for pixels in rows.pixels[start : start + BATCH]]
        covariates += [one.covariates for one in batch]
        scores += bundle.score(batch)
    if not scores or scores[0].features is None:
        return
    table = pa.table(
        {
            "features": pa.array([one.features for one in scores], pa.binary()),
            "logits": [[one.logits[name] for name in bundle.detector_names] for one in scores],
            "covariates": covariates,
            "label": pa.array(rows.labels, pa.int8()),
            "source": rows.sources.tolist(),
            "generator": rows.generators.tolist(),
            "sha256": rows.hashes.tolist(),
        }
    )
    pq.write_table(table, file)
