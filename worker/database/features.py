"""Features: what a bundle's CLIP detector saw, kept for a set number of days so that heads can be fitted on it again.

A scan writes them in the transaction that completes it: `put(session, image_pk, bundle_version, memory)`, with
`StoredFeatures(scores.features, scores.logits, prepared.covariates)` where the bundle tells features. They go with
their image when it is erased.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.driver_statement import DriverStatement
from worker.database.session import Database
from worker.database.tables import Feature, Verdict
from worker.decisions.vocabulary import DecidedBy

_FEW = 3


@dataclass(frozen=True)
class StoredFeatures:
    """All that a bundle's probability of an image is made of.

    Attributes:
        features: of the CLIP detector: float16, little-endian, mean over views, normalised.
        logits: raw, by detector name.
        covariates: quality measures, in the order of the bundle's.
    """

    features: bytes
    logits: dict[str, float]
    covariates: tuple[float, ...]


def put(session: Session, image_pk: int, bundle_version: str, memory: StoredFeatures) -> None:
    """Store what a bundle saw in an image, in the caller's transaction; it replaces what its last scan stored."""
    row = {"image_pk": image_pk, "bundle_version": bundle_version, "features": memory.features}
    _PUT.rows(session, {**row, "logits": memory.logits, "covariates": list(memory.covariates)})


def _put() -> Any:
    """Return the statement, which every scan pays for, made once."""
    put_row = upsert(_FEATURES)
    replaced = {name: put_row.excluded[name] for name in ("features", "logits", "covariates")}
    keys = [_FEATURES.c.image_pk, _FEATURES.c.bundle_version]
    return put_row.on_conflict_do_update(index_elements=keys, set_={**replaced, "created_at": func.now()})


_FEATURES: Any = Feature.__table__
_PUT = DriverStatement(_put(), ("image_pk", "bundle_version", "features", "logits", "covariates"))


def forget(session: Session, image_pks: Sequence[int]) -> None:
    """Delete all that was seen in some images, in the caller's transaction."""
    session.execute(delete(Feature).where(Feature.image_pk.in_(image_pks)))


@dataclass(frozen=True)
class EarlierScan:
    """What a bundle saw in an image, and what the file said of its origin then.

    Attributes:
        bundle_version: of that bundle.
        memory: what its probability was made of.
        provenance: as recorded with the image's newest verdict that is no person's.
        frames: of an animation what was judged of it then, likewise; None for still pictures.
    """

    bundle_version: str
    memory: StoredFeatures
    provenance: Mapping[str, Any]
    frames: Mapping[str, Any] | None = None


class Memory:
    """What earlier scans saw, for bundles that need no pixels."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recall(self, image_pk: int) -> Sequence[EarlierScan]:
        """Return what bundles saw in an image, the newest first; at most a few."""
        query = (
            select(Verdict.provenance, Verdict.frames)
            .where(Verdict.image_pk == image_pk, Verdict.decided_by != DecidedBy.HUMAN)
            .order_by(Verdict.id.desc())
            .limit(1)
        )
        newest = select(Feature).where(Feature.image_pk == image_pk).order_by(Feature.created_at.desc()).limit(_FEW)
        with self._database.transaction() as session:
            evidence = session.execute(query).one_or_none()
            rows = session.scalars(newest).all() if evidence is not None else ()
        return [
            EarlierScan(row.bundle_version, StoredFeatures(row.features, row.logits, tuple(row.covariates)), *evidence)
            for row in rows
            if evidence is not None
        ]
