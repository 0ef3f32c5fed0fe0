"""Report: an evaluation as one page that people can read, with nothing to fetch from anywhere.

Everything it draws is in the evaluation's JSON but the pictures most wrongly judged, which are embedded small.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from PIL import Image

from training.evaluation import report_charts as charts
from training.evaluation.evaluate import trained_on_too
from worker.images.decode import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from training.evaluation.pictures import Pictures

_TEMPLATES = Path(__file__).parent / "templates"
_SIDE = 160
_MAX_PIXELS = 200_000_000
# Shown as large as the others it would be blurred; its pixels are what was judged.
_TINY = 64
# What each measure says, in the order it is shown.
MEASURES: dict[str, str] = {
    "auroc": "AUROC: how often an AI-generated image gets the higher probability of a pair",
    "pauc_fpr_1pct": "partial AUROC at false-positive rates up to 1 % (0.5 is chance)",
    "ap": "average precision",
    "tpr_at_fpr_1pct": "true-positive rate at 1 % false positives",
    "tpr_at_fpr_0.1pct": "true-positive rate at 0.1 % false positives",
    "accuracy": "accuracy, cut at one half",
    "balanced_accuracy": "balanced accuracy, cut at one half",
    "precision": "precision, cut at one half",
    "recall": "recall, cut at one half",
    "f1": "F1, cut at one half",
    "false_positive_rate": "false-positive rate, cut at one half",
    "brier": "Brier score (0 is best)",
    "nll": "negative log likelihood (0 is best)",
    "ece_15": "expected calibration error, 15 bins (0 is best)",
    "ece_15_at_own_prior": "the same, for a policy whose prior shift knows these images' share of AI-generated ones",
    "coverage": "coverage: images with a verdict other than uncertain",
    "accuracy_outside_uncertain": "accuracy of verdicts other than uncertain",
    "wrongly_accused": "accused: images that are not AI-generated, drawings among them, with the verdict ai_generated",
    "found": "found: AI-generated images with the verdict ai_generated",
    "wrongly_cleared": "cleared: AI-generated images with the verdict not_ai_generated",
}


class PageImage(NamedTuple):
    """A picture in a page: its data address, and whether it was so small that its pixels are shown as they are."""

    address: str
    tiny: bool


def render(report: Mapping[str, Any], images: Mapping[str, PageImage]) -> str:
    """Lay an evaluation out as HTML.

    Args:
        report: what `training.evaluation.evaluate.evaluate` gave.
        images: pictures by sha256, for those most wrongly judged.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    return environment.get_template("report.html").render(
        report=report,
        measures=MEASURES,
        trained_on_too=trained_on_too(report),
        drawings={name: Markup(drawing) for name, drawing in _drawings(report).items()},  # noqa: S704 (matplotlib's)  # nosec B704
        wrong=[
            {**one, "image": images[one["sha256"]].address, "tiny": images[one["sha256"]].tiny}
            for one in report["most_wrong"]
            if one["sha256"] in images
        ],
    )


def _percent(value: float | None, digits: int = 1) -> str:
    # No line ends between a figure and its sign.
    return "\N{EN DASH}" if value is None else f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%"


def _drawings(report: Mapping[str, Any]) -> dict[str, str]:
    points, overall, cuts = report["curves"], report["overall"], report["thresholds"]
    drawings = {
        "reliability": charts.reliability(points["reliability"], overall["ece_15"]),
        "histogram": charts.histogram(points["histogram"], cuts["lower"], cuts["upper"]),
        "sources": charts.worst_groups(report["by_source"], "sources"),
        "generators": charts.worst_groups(report["by_generator"], "generators"),
    }
    if points["roc"]:
        share = overall["ai_generated"] / overall["images"]
        drawings["roc"] = charts.roc(points["roc"], overall["auroc"])
        drawings["precision_recall"] = charts.precision_recall(points["precision_recall"], overall["ap"], share)
    if "robustness" in report:
        drawings["robustness"] = charts.robustness(report["robustness"]["changes"])
    return drawings


def wrong_images(report: Mapping[str, Any], pictures: Pictures) -> dict[str, PageImage]:
    """Read the pictures most wrongly judged and make them small, by sha256."""
    places = np.flatnonzero(np.isin(pictures.hashes, [one["sha256"] for one in report["most_wrong"]]))
    chosen = pictures.take(places)
    return {str(digest): _small(data) for digest, data in zip(chosen.hashes, chosen.read(), strict=True)}


def _small(data: bytes) -> PageImage:
    image = decode(data, max_pixels=_MAX_PIXELS).image
    tiny = max(image.size) <= _TINY
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=85, lossless=tiny)
    return PageImage("data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode(), tiny)
