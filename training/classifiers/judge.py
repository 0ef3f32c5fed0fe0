"""Judging a classifiers' run: fitted networks beside each other on test rows nobody fitted on.

Writes `report.json`, `curves.png` (ROC, precision-recall, confusion matrices), `gradcam.png` and each network's weights
into the run's folder.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from safetensors.torch import save_file
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

from training.classifiers.gradcam_sheet import sheet
from training.evaluation.metrics import HALF, measure
from training.fitting.fit import judge_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.data.parts import Parts
    from training.fitting.run import Run
    from training.recipe import Recipe


def judge(recipe: Recipe, runs: Sequence[Run], parts: Parts, folder: Path) -> dict[str, Any]:
    """Measure every network of a run and write what people look at.

    Returns:
        The report: `training.evaluation.metrics.measure` by network, minutes spent, images fitted on, the claim.
    """
    probabilities: dict[str, NDArray[np.float64]] = {}
    for run in runs:
        _, logits = judge_rows(run, parts.test, most=len(parts.test))
        probabilities[run.recipe.name] = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
        tensors = {name: value.contiguous().cpu() for name, value in run.averaged.values.items()}
        save_file(tensors, run.folder / "weights.safetensors")
        sheet(run, parts.test).save(run.folder / "gradcam.png")
    report = {
        "recipe": recipe.name,
        "claim": recipe.claim,
        "images": {name: len(rows) for name, rows in vars(parts).items()},
        "pretrained": any(run.recipe.pretrained for run in runs),
        "networks": {
            run.recipe.name: {
                **measure(parts.test.labels, probabilities[run.recipe.name]),
                "minutes": round(run.at.seconds / 60.0, 2),
                "steps": run.at.step,
                "epochs": round(run.at.step * run.fit.batch_size / len(parts.training), 2),
                "size": run.recipe.views.size,
            }
            for run in runs
        },
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    draw_curves(parts.test.labels, probabilities).savefig(folder / "curves.png", dpi=110)
    return report


def draw_curves(labels: NDArray[np.int8], probabilities: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw ROC, precision-recall and a confusion matrix for each network."""
    count = len(probabilities)
    figure = Figure(figsize=(4.5 * (2 + count), 4.5), layout="constrained")
    roc, precision_recall, *matrices = figure.subplots(1, 2 + count)
    for axes, (name, values) in zip(matrices, probabilities.items(), strict=True):
        RocCurveDisplay.from_predictions(labels, values, name=name, ax=roc)
        PrecisionRecallDisplay.from_predictions(labels, values, name=name, ax=precision_recall)
        ConfusionMatrixDisplay.from_predictions(
            labels, (values >= HALF).astype(np.int8), ax=axes, colorbar=False, display_labels=["not AI", "AI-generated"]
        )
        axes.set_title(name)
    return figure


def as_text(report: Mapping[str, Any]) -> str:
    """Lay the report out for people: one line for each network."""
    lines = [f"{'network':<24}{'accuracy':>9}{'precision':>10}{'recall':>8}{'F1':>8}{'AUROC':>8}{'minutes':>9}"]
    for name, network in report["networks"].items():
        shares = [network[key] or 0.0 for key in ("accuracy", "precision", "recall", "f1", "auroc")]
        accuracy, precision, recall, f1, auroc = shares
        lines.append(
            f"{name:<24}{accuracy:>9.4f}{precision:>10.4f}{recall:>8.4f}{f1:>8.4f}{auroc:>8.4f}{network['minutes']:>9.1f}"
        )
    return "\n".join(lines) + "\n"
