"""Score: one image's logits and probability, from memory, from the same bytes or from its pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `assay scan` has no database, and wants none of what speaks to one
    from worker.database.features import StoredFeatures
    from worker.database.scans import ImageFacts
    from worker.decisions.frames import Frames
    from worker.provenance.findings import Provenance

# Returns columns of the heatmap table, one mapping for each detector.
Explain = Callable[[], list[dict[str, Any]]]
# Stores a picture, and returns its key.
KeepPicture = Callable[[], str]


@dataclass(frozen=True)
class Score:
    """What a bundle makes of one image, and all that is recorded with it.

    Attributes:
        probability: calibrated P(AI-generated) with the policy's prior shift, 0 to 1.
        detectors: logit and probability by detector name, as a verdict's row has them.
        facts: what the record says of the image.
        provenance: what its file says of its own origin.
        explain: makes the heatmaps; None where there is nothing to make them of.
        features: what a later bundle can be judged by without the pixels; None to keep nothing.
        duplicate_of: the verdict of another image of the same bytes that this score comes from.
        frames: what was judged of an animation; None for still pictures.
        keep_frame: stores a picture of the gravest frame; None where there is nothing to make it of.
        keep_thumbnail: stores a thumbnail, likewise.
    """

    probability: float
    detectors: Mapping[str, Any]
    facts: ImageFacts
    provenance: Provenance
    explain: Explain | None = None
    features: StoredFeatures | None = None
    duplicate_of: int | None = None
    frames: Frames | None = None
    keep_frame: KeepPicture | None = None
    keep_thumbnail: KeepPicture | None = None

    @property
    def lacks_frame(self) -> bool:
        """Tell whether an animation was judged and there is no picture of its gravest frame to keep."""
        return self.frames is not None and self.keep_frame is None

    @property
    def gravest_frame(self) -> float | None:
        """Return the highest probability among the frames of an animation; None for still pictures."""
        return None if self.frames is None else self.frames.gravest.probability


def detector_columns(scores: Any) -> dict[str, dict[str, Any]]:
    """Return what a verdict keeps of each detector, of a bundle's :class:`~worker.bundles.loaded.Scores`."""
    return {
        name: {
            "logit": logit,
            "probability": scores.probabilities[name],
            "engine": scores.engines[name],
            "weight": scores.weights[name],
        }
        for name, logit in scores.logits.items()
    }
