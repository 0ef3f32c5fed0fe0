"""Which detectors' features scans store, so that heads can be fitted on them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.bundles.plain_files import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.bundles.parts import DetectorPart

# The `kind` of an encoder detector's architecture.
ENCODER = "encoder"
_MOST = 1024  # numbers of an image from encoders, in half precision: 2 KB


def stored_features(detectors: Mapping[str, DetectorPart]) -> dict[str, int]:
    """Return the detectors whose features scans store, in their order, and how many numbers each has.

    They are the encoder detectors; in a bundle without any, the CLIP detector.
    """
    encoders = {name: part for name, part in detectors.items() if part.architecture.get("kind") == ENCODER}
    if encoders:
        return {name: int(part.architecture["features"]) for name, part in encoders.items()}
    clip = detectors.get("clip")
    scale = clip.tensors.get("head.0.weight") if clip else None
    return {} if scale is None else {"clip": len(scale)}


def check_stored(detectors: Mapping[str, DetectorPart]) -> None:
    """Raise BundleError where encoder detectors have scans store more than 2 KB an image."""
    widths = stored_features(detectors)
    if "clip" not in widths and (total := sum(widths.values())) > _MOST:
        raise BundleError(f"its encoder detectors store {total} features an image, at most {_MOST} are allowed")
