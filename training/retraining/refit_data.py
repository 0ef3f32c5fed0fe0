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
from training.retraining.refit import Seen
from worker.bundles.copies import REPLAY
from worker.database.tables import Feature, Image
from worker.errors import GoneError
from worker.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sqlalchemy.orm import Session

    from training.retraining.labelled_bucket import Labelled
    from worker.bundles.loaded import Bundle, Scores
    from worker.objects.transfer import Transfer

log = get_logger()

_OF = b"bundle"
_AT_ONCE = 5000


def stored(
    session: Session, labelled: Sequence[Labelled], versions: Sequence[str], names: Sequence[str], since: int
) -> Seen | None:
    """Read what scans have stored of labelled images.

    Args:
        session: of a transaction.
        labelled: what reviewers agree on; of images of the same bytes one was looked at, whichever is named here.
        versions: bundles that see the same features; the newest scan by one of them counts.
        names: of their detectors, in order.
        since: labels beyond this one are new.

    Returns:
        None where nothing is stored of any of them.
    """
    by_pk = {image.image_pk: image for image in labelled}
    pks, rows, copy = list(by_pk), list[_Row](), aliased(Image)
    for start in range(0, len(pks), _AT_ONCE):
        found = session.execute(
            select(Image.id, Image.sha256, Feature.features, Feature.logits, Feature.covariates)
            .ext(distinct_on(Image.id))
            .join(copy, copy.sha256 == Image.sha256)
            .join(Feature, Feature.image_pk == copy.id)
            .where(Image.id.in_(pks[start : start + _AT_ONCE]), Feature.bundle_version.in_(versions))
            .order_by(Image.id, Feature.created_at.desc())
        )
        rows += [_Row(by_pk[row.id], row) for row in found]
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


def replayed(file: Path, versions: Sequence[str]) -> Seen | None:
    """Read it; None where there is none, or one of a bundle that sees other features than these versions."""
    if not file.exists():
        return None
    table = pq.read_table(file)
    of = (table.schema.metadata or {}).get(_OF, b"").decode()
    if of not in versions:
        log.warning("replay_of_another_bundle", bundle=of, wanted=list(versions))
        return None
    columns = table.to_pydict()
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
    logits = np.array([[one.logits[name] for name in bundle.detector_names] for one in scores])
    seen = [one.features for one in scores if one.features is not None]
    write_replay(file, bundle.version, Known(rows, seen, logits, np.array(covariates)))


class Known(NamedTuple):
    """What is kept of N images: features as bytes, logits (N, D) in the bundle's order, covariates (N, C)."""

    rows: Rows
    features: list[bytes]
    logits: NDArray[np.float64]
    covariates: NDArray[np.float64]


def write_replay(file: Path, version: str, known: Known) -> None:
    """Write it in the name of a bundle."""
    rows = known.rows
    table = pa.table(
        {
            "features": pa.array(known.features, pa.binary()),
            "logits": known.logits.tolist(),
            "covariates": known.covariates.tolist(),
            "label": pa.array(rows.labels, pa.int8()),
            "source": rows.sources.tolist(),
            "generator": rows.generators.tolist(),
            "sha256": rows.hashes.tolist(),
        }
    )
    pq.write_table(table.replace_schema_metadata({_OF: version}), file)
