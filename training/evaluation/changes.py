"""Changes: what uploads go through on their way, and how the measures stand afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFilter

from training.evaluation.intervals import intervals
from training.evaluation.metrics import measure
from training.evaluation.scores import judge_pictures
from training.fitting.augment import compressed
from worker.decisions.calibration import Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from training.evaluation.pictures import Pictures
    from training.evaluation.scores import Change
    from worker.bundles.loaded import Bundle

_WITH_INTERVALS = ("accuracy", "auroc", "wrongly_accused", "coverage")


def _reduced(image: Image.Image, factor: float) -> Image.Image:
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


# In the order of how much they destroy, kind by kind; `unchanged` judges the same images as they came.
CHANGES: dict[str, Change | None] = {
    "unchanged": None,
    "jpeg_90": lambda image: compressed(image, "JPEG", 90),
    "jpeg_75": lambda image: compressed(image, "JPEG", 75),
    "jpeg_50": lambda image: compressed(image, "JPEG", 50),
    "webp_75": lambda image: compressed(image, "WEBP", 75),
    "resize_0.5": lambda image: _reduced(image, 0.5),
    "resize_0.25": lambda image: _reduced(image, 0.25),
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(1.0)),
}


def robustness(
    bundle: Bundle,
    pictures: Pictures,
    out_of: int,
    thresholds: Mapping[str, float],
    shifted: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> dict[str, Any]:
    """Judge the same pictures under every change.

    Args:
        bundle: loaded.
        pictures: all of them sound.
        out_of: how many there were to choose them from.
        thresholds: `lower` and `upper`.
        shifted: puts probabilities on the thresholds' scale.

    Returns:
        `images`, `out_of`, `chosen` in words, and `changes`: `metrics.measure` with `intervals_95` of the
        leading measures, and `auroc_lost` against the unchanged images.
    """
    cuts = Thresholds(thresholds["lower"], thresholds["upper"])
    changes: dict[str, Any] = {}
    for name, change in CHANGES.items():
        scores = judge_pictures(bundle, pictures, change, name)
        same = pictures.take(scores.rows)
        probabilities = shifted(scores.probabilities)
        figures = measure(same.labels, probabilities, cuts)
        drawn = intervals(same.labels, probabilities, same.clusters, cuts)
        figures["intervals_95"] = {key: drawn[key] for key in _WITH_INTERVALS if key in drawn}
        whole = changes.get("unchanged", figures)["auroc"]
        figures["auroc_lost"] = None if whole is None else whole - figures["auroc"]
        changes[name] = figures
    subset = "all images" if len(pictures) == out_of else "a subset, evenly out of every source and class"
    return {"images": len(pictures), "out_of": out_of, "chosen": subset, "changes": changes}
