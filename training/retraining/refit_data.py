"""Data of a refit: labels with what scans stored of their images, and what the base bundle's run kept to replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as Pixels
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from training.data.assemble import Rows
from training.data.collection import DataError, generator_or_default
from training.evaluation.scores import BATCH
from training.retraining.gate_case import Origin
from training.retraining.refit import Samples
from worker.bundles.copies import REPLAY
from worker.database.tables import Feature, Image
from worker.errors import GoneError
from worker.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sqlalchemy.orm import Session

    from training.retraining.labelled_bucket import LabelledImage
    from worker.bundles.loaded import Bundle, Scores
    from worker.objects.transfer import Transfer

log = get_logger()

_OF = b"bundle"
_AT_ONCE = 5000


def stored(
    session: Session, images: Sequence[LabelledImage], versions: Sequence[str], names: Sequence[str], since: int
) -> Samples | None:
    """Read what scans have stored of labelled images.

    Args:
        session: of a transaction.
        images: what reviewers agree on; of images of the same bytes one was looked at, whichever is named here.
        versions: bundles that see the same features; the newest scan by one of them counts.
        names: of their detectors, in order.
        since: labels beyond this one are new.

    Returns:
        None where nothing is stored of any of them.
    """
    by_pk = {image.image_pk: image for image in images}
    rows = list(_stored_rows(session, list(by_pk), versions))
    if not rows:
        return None
    return Samples(**_looks(rows, names), **_labels([by_pk[row.id] for row in rows], since))


def _looks(rows: Sequence[Any], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    return {
        "features": np.stack([np.frombuffer(row.features, "<f2") for row in rows]),
        "others": np.array([[row.logits[name] for name in names] for row in rows]),
        "covariates": np.array([row.covariates for row in rows]),
        "hashes": np.array([row.sha256 or "" for row in rows]),
    }


def _labels(images: Sequence[LabelledImage], since: int) -> dict[str, NDArray[Any]]:
    return {
        "labels": np.array([image.label for image in images], dtype=np.int8),
        "sources": np.array([image.source for image in images]),
        "generators": np.array([generator_or_default(None, image.label) for image in images]),
        "origins": np.array([Origin.NEW if image.newest_id > since else Origin.EARLIER for image in images], "U7"),
    }


def _stored_rows(session: Session, pks: Sequence[int], versions: Sequence[str]) -> Iterator[Any]:
    copy = aliased(Image)
    for start in range(0, len(pks), _AT_ONCE):
        yield from session.execute(
            select(Image.id, Image.sha256, Feature.features, Feature.logits, Feature.covariates)
            .ext(distinct_on(Image.id))
            .join(copy, copy.sha256 == Image.sha256)
            .join(Feature, Feature.image_pk == copy.id)
            .where(Image.id.in_(pks[start : start + _AT_ONCE]), Feature.bundle_version.in_(versions))
            .order_by(Image.id, Feature.created_at.desc())
        )


def bring_replay(transfer: Transfer, bucket: str, prefix: str, folder: Path, file: Path) -> None:
    """Bring what was kept of a base bundle's held-out images: beside its run, or beside a shipped bundle in its folder.

    There is no file afterwards where nothing was kept.

    Raises:
        RefusedError: the store refuses it.
        ObjectStoreDownError: the store does not answer, so nobody knows whether something was kept.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    if (folder / REPLAY).exists():
        file.write_bytes((folder / REPLAY).read_bytes())
        return
    try:
        transfer.download(bucket, prefix + REPLAY, file)
    except GoneError:
        log.info("no_replay_kept", prefix=prefix)


def replayed(file: Path, versions: Sequence[str]) -> Samples | None:
    """Read it; None where there is none, or one of a bundle that sees other features than these versions."""
    if not file.exists():
        return None
    table = pq.read_table(file)
    of = (table.schema.metadata or {}).get(_OF, b"").decode()
    if of not in versions:
        log.warning("replay_of_another_bundle", bundle=of, expected=list(versions))
        return None
    columns = table.to_pydict()
    count = len(columns["label"])
    return Samples(
        features=np.stack([np.frombuffer(row, "<f2") for row in columns["features"]]),
        others=np.array(columns["logits"]),
        covariates=np.array(columns["covariates"]),
        labels=np.array(columns["label"], dtype=np.int8),
        sources=np.array(columns["source"]),
        generators=np.array(columns["generator"]),
        hashes=np.array(columns["sha256"]),
        origins=np.full(count, Origin.RECIPE.value, dtype="U7"),
    )


def joined(labels: Samples | None, replay: Samples | None) -> Samples:
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
    return Samples(**{name: np.concatenate([value, getattr(rest, name)]) for name, value in vars(labels).items()})


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
    logits = np.array([[one.logits[name] for name in bundle.detector_names] for one in scores])
    features = [one.features for one in scores if one.features is not None]
    write_replay(file, bundle.version, ReplayRows(rows, features, logits, np.array(covariates)))


class ReplayRows(NamedTuple):
    """What is kept of N images: features as bytes, logits (N, D) in the bundle's order, covariates (N, C)."""

    rows: Rows
    features: list[bytes]
    logits: NDArray[np.float64]
    covariates: NDArray[np.float64]


def write_replay(file: Path, version: str, replay: ReplayRows) -> None:
    """Write it in the name of a bundle."""
    rows = replay.rows
    table = pa.table(
        {
            "features": pa.array(replay.features, pa.binary()),
            "logits": replay.logits.tolist(),
            "covariates": replay.covariates.tolist(),
            "label": pa.array(rows.labels, pa.int8()),
            "source": rows.sources.tolist(),
            "generator": rows.generators.tolist(),
            "sha256": rows.hashes.tolist(),
        }
    )
    write_replay_table(file, version, table)


def write_replay_table(file: Path, version: str, table: pa.Table) -> None:
    """Write a replay's table in the name of a bundle.

    Each byte of the features is compressed beside the same byte of other images, an eighth smaller than image by image.
    """
    if not len(table):
        return  # there is nothing to keep in mind
    column = table.schema.get_field_index("features")
    features = table.column(column).combine_chunks()
    fixed = table.set_column(column, "features", features.cast(pa.binary(len(features[0].as_py()))))
    pq.write_table(
        fixed.replace_schema_metadata({_OF: version}),
        file,
        compression="zstd",
        compression_level=19,
        use_dictionary=["label", "source", "generator"],
        use_byte_stream_split=["features"],
    )
