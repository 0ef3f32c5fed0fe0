"""Evaluation: a bundle and labelled images → every measure, overall, by source and by generator, and again degraded.

`assay evaluate` measures what is shipped: the bundle's safetensors are run exactly as the worker runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from training.data.collection import DataError
from training.evaluation.changes import robustness
from training.evaluation.curves import curves
from training.evaluation.groups import add_ranking_against_negatives, by_group, worst_of
from training.evaluation.intervals import METHOD, intervals
from training.evaluation.metrics import measure
from training.evaluation.negatives import by_kind
from training.evaluation.pictures import (
    Pictures,
    fingerprint,
    held_out_of,
    in_words,
    most_wrong,
    not_read,
    open_pictures,
    some,
    without,
)
from training.evaluation.scores import judge_pictures
from training.recipe_file import load_recipe
from worker.bundles.card import read_card
from worker.bundles.loaded import Bundle
from worker.decisions.bounds import clopper_pearson_upper
from worker.decisions.calibration import is_accused, shift
from worker.decisions.certificate import certify
from worker.decisions.policy import FIRST_RULES, Rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.evaluation.ground_truth import GroundTruth
    from training.evaluation.metrics import Cuts
    from training.evaluation.scores import ImageScores

ROBUSTNESS_IMAGES = 1000
_LINES = (
    ("accuracy", "accuracy"),
    ("auroc", "auroc"),
    ("tpr@1%", "tpr_at_fpr_1pct"),
    ("ece", "ece_15"),
    ("ece, prior", "ece_15_at_own_prior"),
    ("coverage", "coverage"),
)


def evaluate(
    bundle: Bundle, pictures: Pictures, rules: Rules = FIRST_RULES, robustness_images: int = ROBUSTNESS_IMAGES
) -> dict[str, Any]:
    """Measure a bundle.

    Args:
        bundle: loaded.
        pictures: labelled, at least one of them a sound picture.
        rules: what coverage, verdicts and the certificate are measured under.
        robustness_images: how many are judged again under each change, evenly out of every source and class; 0 for
            none.

    Returns:
        The report, plain JSON values: `summarise`, and `data`, `robustness`, `curves` and `most_wrong`.

    Raises:
        DataError: none of them is a sound picture.
    """
    scores = judge_pictures(bundle, pictures)
    if not len(scores.rows):
        raise DataError(
            f"none of {len(pictures)} pictures can be decoded, such as {pictures.names[0]}; are they pictures?"
        )
    sound = pictures.take(scores.rows)
    probabilities = shifted(scores.probabilities, rules)
    report = summarise(bundle, sound, probabilities, rules, scores=scores)
    unsound = np.setdiff1d(np.arange(len(pictures)), scores.rows)
    report["data"] = {
        "images": len(sound),
        "ai_generated": int(sound.labels.sum()),
        "sources": len(np.unique(sound.sources)),
        "fingerprint_sha256": fingerprint(sound.hashes, sound.labels),
        "parts": {
            str(part): int(count) for part, count in zip(*np.unique(sound.parts, return_counts=True), strict=True)
        },
        "left_out": {
            "undecodable": len(unsound),
            "examples": pictures.names[unsound][:5].tolist(),
            "not_read": not_read(pictures.collections),
        },
        "of_training_sources": _of_training_sources(bundle, sound.sources),
    }
    if robustness_images:
        report["robustness"] = robustness(
            bundle, some(sound, robustness_images), len(sound), report["thresholds"], lambda p: shifted(p, rules)
        )
    report["curves"] = curves(sound.labels, probabilities)
    report["most_wrong"] = most_wrong(sound, probabilities)
    return report


def _of_training_sources(bundle: Bundle, sources: NDArray[np.str_]) -> dict[str, Any]:
    """Tell how many images, by their sources' names, (N,), are like some that the bundle was trained on, and which."""
    facts = read_card(bundle.card).training_data
    like = np.isin(sources, list(facts.sources) if facts else [])
    return {"images": int(like.sum()), "sources": np.unique(sources[like]).tolist()}


def trained_on_too(report: Mapping[str, Any]) -> str:
    """Warn in a sentence of figures that flatter; empty where no source is called as one that was trained on.

    A run's own report does not ask: what it is judged on was held out of it.
    """
    overlap = report["data"].get("of_training_sources")
    if not overlap or not overlap["images"]:
        return ""
    names = ", ".join(overlap["sources"][:5]) + (", …" if len(overlap["sources"]) > 5 else "")  # noqa: PLR2004 (to read)
    return (
        f"{overlap['images']:,} of {report['data']['images']:,} images are of sources that the bundle was trained on "
        f"({names}): figures of these say nothing of other sources, and flatter where they are the very images"
    )


def shifted(probabilities: NDArray[np.float64], rules: Rules) -> NDArray[np.float64]:
    """Move probabilities by the policy's prior shift, (N,) → (N,)."""
    if not rules.prior_shift:
        return probabilities
    return np.array([shift(probability, rules.prior_shift) for probability in probabilities.tolist()])


def summarise(
    bundle: Bundle,
    truth: GroundTruth,
    probabilities: NDArray[np.float64],
    rules: Rules = FIRST_RULES,
    *,
    scores: ImageScores | None = None,
    cuts: Cuts | None = None,
) -> dict[str, Any]:
    """Lay out the measures of probabilities (N,): overall, by kind of negative, detector, source and generator.

    With `cuts`, verdicts are by each image's own thresholds in place of those that the policy gives the bundle.
    """
    thresholds = rules.thresholds(bundle.figures)
    ours = cuts or thresholds
    labels, alone = truth.labels, len(np.unique(truth.sources)) == 1
    clusters = truth.hashes if alone else truth.sources
    overall = measure(labels, probabilities, ours, rules.prior_shift)
    by_source = by_group(labels, probabilities, truth.sources, ours, truth)
    by_generator = by_group(labels, probabilities, truth.generators, ours, truth)
    add_ranking_against_negatives(by_generator, labels, probabilities, truth.generators)
    return {
        "bundle": bundle.version,
        "policy": rules.numbers(),
        "thresholds": {"lower": thresholds.lower, "upper": thresholds.upper},
        "overall": overall,
        "intervals_95": intervals(labels, probabilities, clusters, ours, prior_shift=rules.prior_shift),
        "intervals_are": {
            "method": METHOD,
            "drawn_together": "contents, there being one source" if alone else "sources; within a source contents",
            "clusters": len(np.unique(clusters)),
        },
        "worst_source": worst_of(by_source),
        "worst_generator": worst_of(by_generator),
        "worst_group": worst_of(
            {f"source {name}": group for name, group in by_source.items()}
            | {f"generator {name}": group for name, group in by_generator.items()}
        ),
        "certificate": {
            **certify(bundle.figures, thresholds, rules.false_positive_budget, rules.prior_shift).to_json(),
            "seen_here": _accused_here(labels, probabilities, ours.upper),
        },
        "negatives": by_kind(truth, probabilities, ours),
        "by_detector": {
            name: measure(labels, scores.detector_probabilities[:, column]) for column, name in enumerate(scores.names)
        }
        if scores is not None
        else {},
        "by_source": by_source,
        "by_generator": by_generator,
    }


def _accused_here(
    labels: NDArray[np.int8], probabilities: NDArray[np.float64], upper: float | NDArray[np.float64]
) -> dict[str, Any]:
    negatives = int((labels == 0).sum())
    errors = int((is_accused(probabilities, upper) & (labels == 0)).sum())
    bound = clopper_pearson_upper(errors, negatives) if negatives else None
    return {"negatives": negatives, "accused": errors, "rate_at_most": bound}


def chosen_pictures(
    data: Sequence[Path],
    *,
    held_out: str | None = None,
    excluded: Sequence[Path] = (),
    part: str | None = None,
    limit: int | None = None,
    fitted_without: Sequence[str] = (),
) -> Pictures:
    """Open data and keep what is asked for.

    Args:
        data: see `open_pictures`.
        held_out: a recipe; only what it holds out of training.
        excluded: only what does not occur in these.
        part: only this part, where the data is split: `training`, `validation` or `test`.
        limit: this many, evenly out of every source and class.
        fitted_without: sources that the bundle's card says were held out, for a recipe that chooses them by its data.

    Raises:
        AssayError: nothing is left; or the data or the recipe cannot be read.
    """
    pictures = open_pictures(data)
    if held_out:
        pictures = held_out_of(pictures, load_recipe(held_out), fitted_without)
    pictures = without(pictures, excluded) if excluded else pictures
    if part and part not in (there := sorted(set(pictures.parts.tolist()) - {""})):
        raise DataError(f"there is no part {part!r} in it: {', '.join(there) or 'this data is not split'}")
    pictures = pictures.take(pictures.parts == part) if part else pictures
    pictures = some(pictures, limit) if limit else pictures
    if not len(pictures):
        raise DataError("no pictures are left to evaluate on; ask for fewer conditions")
    return pictures


def as_text(report: dict[str, Any]) -> str:
    """Lay the report out for people, in a few lines."""
    overall, intervals = report["overall"], report["intervals_95"]
    lines = [f"bundle     {report['bundle']}", f"images     {overall['images']}", *in_words(report["data"]["left_out"])]
    lines += [f"careful    {warning}"] if (warning := trained_on_too(report)) else []
    if overall["auroc"] is None:
        lines.append("auroc      none: the images are all of one class; it needs both")
    for name, key in _LINES:
        if overall[key] is not None:
            lines.append(f"{name:<11}{overall[key]:.4f}{_between(intervals.get(key))}")
    for kind, facts in report["negatives"].items():
        between, worst = _between(facts["intervals_95"].get("wrongly_accused")), facts["worst_source"]
        if not facts["accused"]:
            between = f"  at most {facts['wrongly_accused_at_most']:.4f}"
        rate = f"accused    {facts['wrongly_accused']:.4f}{between}  of {facts['images']} {kind}"
        lines.append(f"{rate}; worst source {worst['name']}  {worst['wrongly_accused']:.4f}")
    lines.append(f"worst      {report['worst_group']['name']}  {report['worst_group']['accuracy']:.4f}")
    lines += [
        f"  {name:<24}{values['images']:>6}  {values['accuracy']:.4f}" for name, values in report["by_source"].items()
    ]
    for name, change in report.get("robustness", {}).get("changes", {}).items():
        auroc = "" if change["auroc"] is None else f"  auroc {change['auroc']:.4f}"
        lines.append(f"  {name:<24}{change['images']:>6}  {change['accuracy']:.4f}{auroc}")
    return "\n".join(lines) + "\n"


def _between(ends: Sequence[float] | None) -> str:
    """Give an interval for people; there is none where a class lies in one of few sources alone."""
    return "" if ends is None else f"  [{ends[0]:.4f}, {ends[1]:.4f}]"
