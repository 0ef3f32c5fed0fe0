"""Card: what is known of a bundle, for people; it lies beside the bundle and changes nothing of what it says."""

from __future__ import annotations

import subprocess
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data.assemble import MADE_SIDE
from training.data.drawings import draw_picture
from training.evaluation.groups import LEAST_GROUP
from training.evaluation.pictures import fingerprint
from worker.bundles.card import CodeVersion, DataFacts, DetectorFacts, Probe
from worker.bundles.card_measures import Evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from training.evaluation.ground_truth import GroundTruth
    from worker.bundles.loaded import Bundle
    from worker.bundles.parts import BundleParts

# A gradient: drawn by numpy alone, so no font or drawing library can change it.
PROBE_SEED = 2
HELD_OUT_IS = (
    "what a bundle gives whose fusion (its inputs too), calibration and thresholds were fitted without the image's "
    "source (or content, where there is one source), in up to five folds; what `assay evaluate` gives is under "
    "`evaluations`"
)
_WEAK_ACCURACY = 0.7
_WEAK_SHOWN = 5
_NOTICED = 0.01  # of AUROC lost
_KEPT = (
    "overall",
    "intervals_95",
    "intervals_are",
    "negatives",
    "worst_source",
    "worst_generator",
    "worst_group",
    "by_detector",
)
_DRAWN_IN_NO_FILE = (
    "what the recipe holds out of these files; pictures that were made for the run, such as drawings by programs, are "
    "in none of them and not among these images"
)


def code_version() -> CodeVersion:
    """Name the code that runs: the package's version, and the commit where it runs from a checkout.

    A commit that is not all of it, for files have been changed since, ends in `+changes`.
    """
    try:
        package = version("assay")
    except PackageNotFoundError:
        package = "0"
    try:
        command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--exclude=*"]
        command.append("--dirty=+changes")
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        commit = answer.stdout.strip() or None
    except OSError:
        commit = None
    return CodeVersion(assay=package, commit=commit)


def data_facts(truth: GroundTruth, licences: str | None) -> DataFacts:
    """Describe labelled images without showing any: counts, fingerprint, sources, licences in words."""
    return DataFacts(
        images=len(truth.labels),
        ai_generated=int(truth.labels.sum()),
        fingerprint_sha256=fingerprint(truth.hashes, truth.labels),
        sources=dict(sorted(Counter(truth.sources.tolist()).items())),
        generators=dict(sorted(Counter(truth.generators.tolist()).items())),
        licences=licences or "not stated; ask whoever gave the images",
    )


def detector_facts(parts: BundleParts) -> dict[str, DetectorFacts]:
    """Describe each detector: architecture, views, count of weights."""
    return {
        name: DetectorFacts.model_validate(
            {
                "architecture": dict(part.architecture),
                "views": part.plan.to_json(),
                "weights": sum(int(value.numel()) for value in part.tensors.values()),
            }
        )
        for name, part in parts.detectors.items()
    }


def weaknesses(report: Mapping[str, Any]) -> list[str]:
    """Say in words where the figures are bad: groups, accusations beyond the budget, changes that cost most."""
    return [
        *_inaccurate(report, "source"),
        *_inaccurate(report, "generator"),
        *_beyond_budget(report),
        *_costly_changes(report),
    ]


def _inaccurate(report: Mapping[str, Any], kind: str) -> Iterator[str]:
    weak = [
        f"{name} ({100 * group['accuracy']:.1f} %)"
        for name, group in report[f"by_{kind}"].items()
        if round(group["accuracy"], 3) < _WEAK_ACCURACY and group["images"] >= LEAST_GROUP
    ]
    if weak:
        more = len(weak) - _WEAK_SHOWN
        names = ", ".join(weak[:_WEAK_SHOWN]) + f" and {more} more" * (more > 0)
        yield f"accuracy below {100 * _WEAK_ACCURACY:.0f} % on {kind} {names}"


def _beyond_budget(report: Mapping[str, Any]) -> Iterator[str]:
    certificate = report["certificate"]
    if not certificate["holds"]:
        yield f"{certificate['negatives']} held-out negatives are too few to certify the false-positive budget"
    budget = certificate["budget"]
    over = [
        f"{name} ({100 * group['wrongly_accused']:.1f} %)"
        for name, group in report["by_source"].items()
        if (group.get("wrongly_accused") or 0.0) > budget and group["images"] - group["ai_generated"] >= LEAST_GROUP
    ]
    if over:
        yield f"more than {100 * budget:g} % of negatives accused on source " + ", ".join(over[:_WEAK_SHOWN])


def _costly_changes(report: Mapping[str, Any]) -> Iterator[str]:
    changes = report.get("robustness", {}).get("changes", {})
    lost = {
        name: figures["auroc_lost"] for name, figures in changes.items() if (figures.get("auroc_lost") or 0) > _NOTICED
    }
    if lost:
        worst = sorted(lost.items(), key=lambda one: -one[1])
        yield "AUROC lost by " + ", ".join(f"{name.replace('_', ' ')} {by:.3f}" for name, by in worst)


def measures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a report what a card tells: every measure with intervals, overall and by group."""
    kept = {key: report[key] for key in _KEPT}
    return kept | {
        "by_source": report["by_source"],
        "by_generator": report["by_generator"],
        **{key: report[key] for key in ("robustness", "heatmaps") if key in report},
    }


def evaluation_entry(data: str, report: Mapping[str, Any]) -> Evaluation:
    """Lay a whole evaluation out for a card's `evaluations`; `data` is what `assay evaluate` was told."""
    robust = report.get("robustness", {}).get("images", 0)
    explained = report.get("heatmaps", {}).get("images", 0)
    data += f" --heatmaps {explained}" if explained else ""
    entry = {
        "data": data,
        **({"covers": _DRAWN_IN_NO_FILE} if "--held-out-of" in data else {}),
        "command": f"assay evaluate --bundle {report['bundle'].rpartition('-')[0]} {data} --robustness {robust}",
        "data_facts": report["data"],
        "policy": report["policy"],
        "thresholds": report["thresholds"],
        "certificate": report["certificate"],
        **({"curves": report["curves"]} if "curves" in report else {}),
        **measures(report),
        "weaknesses": weaknesses(report),
        "code_version": code_version().document(),
    }
    return Evaluation.model_validate(entry)


def probe(bundle: Bundle) -> Probe:
    """Score one drawn picture: what later releases must still give, or else prepare or score have changed."""
    (scores,) = bundle.score([bundle.prepare(draw_picture(PROBE_SEED, MADE_SIDE)[1])])
    return Probe(seed=PROBE_SEED, logits=scores.logits, probability=scores.probability)
