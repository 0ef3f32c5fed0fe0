"""Gate of a training run: champion and challenger judge the images that were left for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from training.data.assemble import all_rows, gate_rows
from training.evaluation.curves import curves
from training.evaluation.evaluate import summarise
from training.evaluation.pictures import fingerprint
from training.evaluation.scores import judge_images
from training.retraining.data import contents_of
from training.retraining.gate import gate
from training.retraining.gate_case import ComparedImages, Opinion, Origin, Terms
from worker.bundles.loaded import load_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from training.data.assemble import Rows
    from training.evaluation.scores import ImageScores
    from training.retraining.data import RunData
    from worker.bundles.loaded import Bundle


def left_for_gate(data: RunData, work: Path) -> Rows:
    """Give the rows that the run was neither fitted nor calibrated on."""
    rows = all_rows(data.recipe, data.folder, work / "cache")
    return gate_rows(rows.take(np.flatnonzero(rows.parts != "test")), data.recipe)


def origins_of(rows: Rows, data: RunData, since: int) -> NDArray[np.str_]:
    """Tell new labels (beyond the label `since`) from earlier ones and from the recipe's own images, by content."""
    hashes = contents_of(data.labels_file)
    origins = {
        hashes[name]: Origin.NEW if image.newest_id > since else Origin.EARLIER
        for image in data.images
        if (name := f"image:{image.image_pk}") in hashes
    }
    return np.array([origins.get(digest, Origin.RECIPE).value for digest in rows.hashes.tolist()], dtype="U7")


def compare(
    champion: Path, challenger: Path, rows: Rows, origins: NDArray[np.str_], *, terms: Terms, device: str, earlier: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Judge the rows with both bundles: (the gate's report, the challenger's evaluation)."""
    old, new = load_bundle(champion, device), load_bundle(challenger, device)
    images = ComparedImages(rows.labels, rows.sources, rows.generators, rows.hashes, origins)
    both = [judge_images(bundle, map(Image.fromarray, rows.pixels), len(rows)) for bundle in (old, new)]
    opinions = [
        Opinion(bundle.version, scores.probabilities, bundle.figures)
        for bundle, scores in zip((old, new), both, strict=True)
    ]
    return gate(images, opinions[0], opinions[1], terms, earlier), _evaluation(new, rows, both[1])


def _evaluation(bundle: Bundle, rows: Rows, scores: ImageScores) -> dict[str, Any]:
    """Lay out all measures as an evaluation does, without showing or naming any image."""
    report = summarise(bundle, rows, scores.probabilities, scores=scores)
    report["data"] = {
        "images": len(rows),
        "ai_generated": int(rows.labels.sum()),
        "sources": len(np.unique(rows.sources)),
        "fingerprint_sha256": fingerprint(rows.hashes, rows.labels),
        "parts": {"gate": len(rows)},
        "left_out": {"undecodable": 0, "examples": []},
    }
    report["curves"] = curves(rows.labels, scores.probabilities)
    report["most_wrong"] = []
    return report


def terms_of(policy: Mapping[str, float]) -> Terms:
    """Ask for what the newest policy promises."""
    return Terms(
        false_positive_budget=policy["false_positive_budget"],
        miss_budget=policy["miss_budget"],
    )
