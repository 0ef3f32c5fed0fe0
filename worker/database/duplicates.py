"""Duplicates in Postgres: who judged these bytes already, and which images look alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, bindparam, func, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY, BIT
from sqlalchemy.orm import Session

from worker.database.driver_statement import DriverStatement
from worker.database.scans import ImageFacts
from worker.database.served import newest_image
from worker.database.session import Database, compiled
from worker.database.tables import Heatmap, Image, Verdict
from worker.decisions.near_hashes import HASH_BITS, probes_of


@dataclass(frozen=True)
class Original:
    """What is known of an image's bytes by the verdict that another image of the same bytes got.

    Attributes:
        verdict_id: of that verdict.
        probability: as recorded, prior shift included.
        detectors: as recorded.
        facts: of that image, and of every image of these bytes.
        heatmaps: columns of that verdict's heatmaps.
        frames: of an animation what was judged of it, as recorded; None for still pictures.
        frame_key: where a picture of its gravest frame lies in the artifact bucket.
    """

    verdict_id: int
    probability: float
    detectors: dict[str, Any]
    facts: ImageFacts
    heatmaps: Sequence[dict[str, Any]]
    frames: dict[str, Any] | None = None
    frame_key: str | None = None


@dataclass(frozen=True)
class Near:
    """An image that looks like another one.

    Attributes:
        image: its row.
        distance: in how many of 256 bits their hashes differ.
        same_bytes: it is the very same file.
    """

    image: Image
    distance: int
    same_bytes: bool


class Duplicates:
    """What the tables know of equal and similar images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def original(self, sha256: str, bundle_version: str, policy_version: int) -> Original | None:
        """Return what a bundle and a policy made of these bytes before, None where they never saw them."""
        values = {"sha256": sha256, "bundle": bundle_version, "policy": policy_version}
        if not self._database.fetch_rows(_IS_KNOWN, values):
            return None
        with self._database.statement() as session:
            row = session.execute(_JUDGED_BEFORE, values).one_or_none()
        if row is None:
            return None
        verdict: Any
        image: Any
        verdict, image = row  # both complete: a scan ended with them
        with self._database.statement() as session:
            heatmaps = session.scalars(select(Heatmap).where(Heatmap.verdict_id == verdict.id)).all()
        return Original(
            verdict.id,
            verdict.probability,
            verdict.detectors,
            ImageFacts(sha256, image.size_bytes, image.width, image.height, image.pdq, truncated=image.truncated),
            [{name: getattr(heatmap, name) for name in _HEATMAP_COLUMNS} for heatmap in heatmaps],
            verdict.frames,
            verdict.frame_key,
        )

    def near(self, image_id: str, *, most_distance: int, limit: int) -> Sequence[Near] | None:
        """Return the images that look most like the newest version of an image, the nearest first.

        Args:
            image_id: the platform's own id.
            most_distance: bits that may differ, at most :data:`~worker.decisions.near_hashes.MOST_DISTANCE`.
            limit: most images returned.

        Returns:
            Other images, those of the same bytes at distance 0; None when the image is unknown or erased.
        """
        with self._database.transaction() as session:
            image = session.scalar(newest_image(image_id))
            if image is None:
                return None
            same = found_same(session, image, limit)
            # Where thousands are of the same bytes, as many hashes are alike, which takes seconds to find.
            near = found_near(session, image, most_distance, limit) if len(same) < limit else []
        return [*same, *(one for one in near if not one.same_bytes)][:limit]


_JUDGED_BEFORE: Select[Any, Any] = compiled(
    select(Verdict, Image)
    .join(Image, Verdict.image_pk == Image.id)
    .where(
        Verdict.content == bindparam("sha256"),
        Verdict.bundle_version == bindparam("bundle"),
        Verdict.policy_version == bindparam("policy"),
    )
    # A challenger's verdict has no evidence to copy.
    .order_by(Verdict.shadow, Verdict.frame_key.is_(None), Verdict.id)
    .limit(1)
)
# Most images are new, and need no rows as objects.
_IS_KNOWN = DriverStatement(_JUDGED_BEFORE.with_only_columns(Verdict.id).order_by(None))
_HEATMAP_COLUMNS = ("detector", "method", "layer", "bundle_version", "key", "raw_key")


def found_same(session: Session, image: Image, limit: int) -> list[Near]:
    """Return the images of the same bytes, the newest first, in the caller's transaction."""
    if image.sha256 is None:
        return []
    same = select(Image).where(Image.sha256 == image.sha256, Image.id != image.id).order_by(Image.id.desc())
    return [Near(other, 0, same_bytes=True) for other in session.scalars(same.limit(limit))]


def found_near(session: Session, image: Image, most_distance: int, limit: int) -> list[Near]:
    """Return the images that look like one, the nearest first, in the caller's transaction."""
    if image.pdq is None:
        return []
    # Postgres takes a search for any of 272 bands for one that finds nearly all images, and would read all of them.
    session.execute(text("SET LOCAL enable_seqscan = off"))
    session.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
    rows = session.execute(near_statement(image.id, str(image.pdq), most_distance, limit))
    return [
        Near(other, distance, same_bytes=other.sha256 is not None and other.sha256 == image.sha256)
        for other, distance in rows
    ]


def near_statement(image_pk: int, bits: str, most_distance: int, limit: int) -> Any:
    """Return the statement behind a list of similar images: candidates by their bands, then the exact distance."""
    probes = literal(probes_of(bits), ARRAY(Integer))
    distance: ColumnElement[int] = func.bit_count(Image.pdq.op("#")(literal(bits, BIT(HASH_BITS))), type_=Integer)
    return (
        select(Image, distance.label("distance"))
        .where(Image.pdq_bands.overlap(probes), Image.id != image_pk, distance <= most_distance)
        .order_by("distance", Image.id.desc())
        .limit(limit)
    )
