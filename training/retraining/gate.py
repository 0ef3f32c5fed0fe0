"""The gate: champion and challenger over the same images → may the challenger scan in shadow? Pure.

Every rule is told with both values, the interval of their difference, and why it passed or did not. What cannot be
judged for want of images stops the challenger, or, for a group, is named as not judged.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from training.evaluation.metrics import measure
from training.evaluation.paired import Pair, accuracy, calibration_error, found_at_low_rate
from training.retraining.gate_case import Case, ComparedImages, Mask, Opinion, Origin, Terms
from worker.decisions.bounds import clopper_pearson_upper
from worker.decisions.calibration import is_accused
from worker.decisions.certificate import certify

if TYPE_CHECKING:
    from collections.abc import Iterator


def gate(
    images: ComparedImages, champion: Opinion, challenger: Opinion, terms: Terms, earlier_labels: int = 0
) -> dict[str, Any]:
    """Compare.

    Args:
        images: labelled, judged by both.
        champion: what it said.
        challenger: what it said.
        terms: how much is asked for.
        earlier_labels: contents that people labelled before; some of them must be among the images.

    Returns:
        Plain values: `passed`, `rules` (each `name`, `champion`, `challenger`, `difference`, `interval_95`, `images`,
        `passed`, `why`), `not_judged`, both versions, `terms`, and `measures` side by side.
    """
    case = Case(images, champion, challenger, terms)
    rules = [_another(case), *_enough(case), _finds_new(case), _known_kept(case), _known_found(case)]
    groups = list(_groups(case))
    rules += [_group_kept(case, name, rows) for name, rows in groups if rows.sum() >= terms.least_group]
    rules += [_replayed(case, earlier_labels), _certified(case), _accusations(case), _calibrated(case)]
    return {
        "passed": all(rule["passed"] for rule in rules),
        "champion": champion.version,
        "challenger": challenger.version,
        "rules": rules,
        "not_judged": [
            {"name": name, "images": int(rows.sum())} for name, rows in groups if rows.sum() < terms.least_group
        ],
        "images": {origin.value: int((images.origins == origin).sum()) for origin in Origin},
        "terms": asdict(terms),
        "measures": _side_by_side(case),
    }


def _rule(name: str, passed: bool, why: str, pair: Pair | None = None, **more: Any) -> dict[str, Any]:  # noqa: FBT001
    values: dict[str, Any] = dict.fromkeys(("champion", "challenger", "difference", "interval_95"))
    if pair is not None:
        values = {
            "champion": pair.champion,
            "challenger": pair.challenger,
            "difference": pair.difference,
            "interval_95": [pair.low, pair.high],
        }
    return {"name": name, "images": None, **values, **more, "passed": bool(passed), "why": why}


def _another(case: Case) -> dict[str, Any]:
    same = case.champion.version == case.challenger.version
    why = "champion and challenger are one bundle" if same else "they are two bundles"
    return _rule("another bundle", not same, why)


def _enough(case: Case) -> Iterator[dict[str, Any]]:
    labels, terms = case.images.labels, case.terms
    named = "AI-generated" if case.new_class else "not AI-generated"
    counts = (
        (f"enough new images ({named})", int((case.new & (labels == case.new_class)).sum()), terms.least_new),
        ("enough negatives", int((labels == 0).sum()), terms.least_negatives),
        ("enough known images", int(case.old.sum()), terms.least_known),
    )
    for name, count, least in counts:
        yield _rule(name, count >= least, f"{count} images, at least {least} are asked for", images=count)


def _finds_new(case: Case) -> dict[str, Any]:
    """Ask whether more is found at 1 % false positives: new AI-generated images against all that are not.

    Where the new labels have hardly an AI-generated image, they are accusations to be put right: then all AI-generated
    images are ranked against the new ones alone.
    """
    labels = case.images.labels
    rows = (labels != case.new_class) | case.new
    name = "finds more of the new at 1 % false positives"
    if len(np.unique(labels[rows])) < 2 or not case.new.any():  # noqa: PLR2004 (two classes)
        return _rule(name, False, "there are no images to measure it on", images=int(rows.sum()))
    pair = found_at_low_rate(*case.of(rows))
    why = f"the improvement's lower bound is {100 * pair.low:+.1f} points; it must be above zero"
    return _rule(name, pair.low > 0, why, pair, images=int(rows.sum()))


def _known_kept(case: Case) -> dict[str, Any]:
    """Ask for evidence that all that is known is kept: the lower bound within the margin, not just no evidence."""
    if not case.old.any():
        return _rule("keeps what is known", False, "there are no known images", images=0)
    pair = accuracy(*case.of(case.old))
    why = f"the loss is at most {100 * max(0.0, -pair.low):.1f} points; {100 * case.terms.margin:g} are tolerated"
    return _rule("keeps what is known", pair.low >= -case.terms.margin, why, pair, images=int(case.old.sum()))


def _known_found(case: Case) -> dict[str, Any]:
    name, rows = "finds no less of the known at 1 % false positives", case.old
    if len(np.unique(case.images.labels[rows])) < 2:  # noqa: PLR2004 (two classes)
        return _rule(name, False, "the known images are of one class", images=int(rows.sum()))
    return _not_worse(case, name, found_at_low_rate(*case.of(rows)), rows)


def _groups(case: Case) -> Iterator[tuple[str, Mask]]:
    """Name the known sources, the known generators and the earlier labels, with their rows."""
    for kind, column in (("source", case.images.sources), ("generator", case.images.generators)):
        for name in np.unique(column[case.old]).tolist():
            yield f"{kind} {name}", case.old & (column == name)
    earlier = case.images.origins == Origin.EARLIER
    if earlier.any():
        yield "earlier labels", earlier


def _group_kept(case: Case, name: str, rows: Mask) -> dict[str, Any]:
    return _not_worse(case, name, accuracy(*case.of(rows)), rows)


def _not_worse(case: Case, name: str, pair: Pair, rows: Mask) -> dict[str, Any]:
    margin = 100 * case.terms.margin
    why = f"the interval ends at {100 * pair.high:+.1f} points; below {-margin:g} it is worse beyond doubt"
    return _rule(name, pair.high >= -case.terms.margin, why, pair, images=int(rows.sum()))


def _replayed(case: Case, earlier_labels: int) -> dict[str, Any]:
    count = int((case.images.origins == Origin.EARLIER).sum())
    if not earlier_labels:
        return _rule("earlier labels are replayed", True, "there are none yet", images=0)
    why = f"{count} of {earlier_labels} earlier labels are among the images"
    return _rule("earlier labels are replayed", count > 0, why, images=count)


def _certified(case: Case) -> dict[str, Any]:
    certificates = [
        certify(opinion.figures, case.thresholds(opinion), case.terms.false_positive_budget)
        for opinion in (case.champion, case.challenger)
    ]
    of = certificates[1]
    why = f"at most {100 * of.rate_at_most:.2f} % of negatives are accused; the budget is {100 * of.budget:g} %" + (
        "" if of.holds else f", which takes more than {of.negatives} negatives to certify" * (of.accused == 0)
    )
    rates: dict[str, Any] = {"champion": certificates[0].rate_at_most, "challenger": of.rate_at_most}
    return _rule("the false-positive certificate holds", of.holds, why, images=of.negatives, **rates)


def _accusations(case: Case) -> dict[str, Any]:
    """Ask whether the gate's own negatives contradict the certificate."""
    negatives = case.images.labels == 0
    accused = [
        int(is_accused(opinion.probabilities[negatives], case.thresholds(opinion).upper).sum())
        for opinion in (case.champion, case.challenger)
    ]
    count = int(negatives.sum())
    at_least = 1.0 - clopper_pearson_upper(count - accused[1], count) if count else 1.0
    passed = count > 0 and (at_least <= case.terms.false_positive_budget or accused[1] <= accused[0])
    why = f"{accused[1]} of {count} negatives are accused, the champion accuses {accused[0]}"
    rates: dict[str, Any] = {"champion": accused[0] / max(count, 1), "challenger": accused[1] / max(count, 1)}
    return _rule("accuses no more than the budget here", passed, why, images=count, **rates)


def _calibrated(case: Case) -> dict[str, Any]:
    everything = np.ones(len(case.images.labels), dtype=bool)
    if not len(everything):
        return _rule("is calibrated no worse", False, "there are no images", images=0)
    pair = calibration_error(*case.of(everything))
    passed = pair.difference <= 0 or (pair.low <= 0 and pair.difference <= case.terms.margin)
    why = f"the error changes by {pair.difference:+.4f}; more than zero is let pass within doubt and the margin"
    return _rule("is calibrated no worse", passed, why, pair, images=len(everything))


def _side_by_side(case: Case) -> dict[str, Any]:
    by_name: dict[str, Any] = {}
    for name, rows in (("all", case.old | case.new), ("known", case.old), ("new", case.new)):
        if rows.any():
            by_name[name] = {
                role: measure(case.images.labels[rows], opinion.probabilities[rows])
                for role, opinion in (("champion", case.champion), ("challenger", case.challenger))
            }
    return by_name
