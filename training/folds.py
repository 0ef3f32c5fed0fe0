"""Folds: how a recipe's detectors do on sources that none of them has seen, every source in its turn.

`python -m training.folds --recipe wild --data DIR --out DIR [--minutes 10]`: the sources are parted into folds with
both classes in each; for each fold every detector is fitted on the others, and judges it. Nothing of it ships but the
figures, on the card of the recipe's bundle (`--write-card`): they say what the recipe is worth, where a bundle's own
rest on one choice of held-out sources. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.calibration.fusion import Measurements, folds
from training.cross_fit import cross_fit
from training.data.assemble import Rows, joined, recipe_rows, split
from training.data.collection import DataError
from training.evaluation.fold_report import FoldReport, aurocs, fold_report, measures_of_folds, report_of
from training.export.run_bundle import measure_held_out, uncalibrated
from training.recipe import Recipe, with_minutes
from training.recipe_file import load_recipe
from training.train import Order, train
from worker.bundles.card_measures import Fold
from worker.bundles.folder import read_bundle, update_card
from worker.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Sequence


def measure_folds(recipe: Recipe, data: Path, out: Path, device: str = "cpu") -> FoldReport:
    """Fit and judge fold by fold; writes `folds.json` into `out`.

    Returns:
        `folds` (each its sources, images and AUROC by detector and of their added logits), the same over all images,
        and every measure of the fused and calibrated probabilities, `overall`, with `intervals_95`, `negatives` and
        `by_source`. Fusion, calibration and thresholds of an image come from other sources as well.

    Raises:
        AssayError: the data cannot be used.
        ValueError: it has too few sources to be parted.
    """
    if recipe.is_cross_fitted:
        report = report_of(recipe, cross_fit(recipe, data, out, device), device)
    else:
        report = _trained(recipe, data, out, device)
    (out / "folds.json").write_text(json.dumps(report.document(), indent=2) + "\n", encoding="utf-8")
    return report


def _trained(recipe: Recipe, data: Path, out: Path, device: str) -> FoldReport:
    rows = recipe_rows(recipe, data, out / "cache")
    results = [_judge_fold(part, data, out, place, device) for place, part in enumerate(_parted(recipe, rows), start=1)]
    together, truth = _together([measured for measured, _, _ in results]), joined([rows for _, rows, _ in results])
    minutes = {part.name: part.fit.minutes for part in recipe.detectors}
    facts = [facts for _, _, facts in results]
    return fold_report(recipe, minutes, facts, measures_of_folds(together, truth))


def _parted(recipe: Recipe, rows: Rows) -> list[Recipe]:
    """Make a recipe of each fold, its sources held out."""
    nothing = np.zeros((len(rows), 1))
    parts = folds(Measurements((), nothing, nothing, rows.labels, rows.sources))
    return [
        replace(
            recipe,
            held_out_sources=tuple(np.unique(rows.sources[left_out]).tolist()),
            held_out_share=0.0,
            gate_share=0.0,
        )
        for _, left_out in parts
    ]


def _judge_fold(recipe: Recipe, data: Path, out: Path, place: int, device: str) -> tuple[Measurements, Rows, Fold]:
    folder = out / f"fold-{place}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "cache").exists():  # decoded once for all folds
        (folder / "cache").symlink_to((out / "cache").resolve(), target_is_directory=True)
    for part in recipe.detectors:
        train(Order(recipe, data, folder, device, only=part.name))
    held_out = split(recipe_rows(recipe, data, folder / "cache"), recipe)[1]
    # What the data itself holds out is so in every fold, and is judged in its source's alone.
    held_out = held_out.take(np.flatnonzero(np.isin(held_out.sources, recipe.held_out_sources)))
    measured, _ = measure_held_out(uncalibrated(recipe, folder), held_out, device)
    facts = Fold(sources=list(recipe.held_out_sources), images=len(held_out), **aurocs(measured))
    nothing = np.empty((len(held_out), 0, 0, 3), dtype=np.uint8)  # all folds' pixels together would be gigabytes
    truth = replace(held_out, pixels=nothing)
    return replace(measured, groups=held_out.sources, by_source=True), truth, facts


def _together(measured: Sequence[Measurements]) -> Measurements:
    logits, covariates = (np.concatenate([getattr(one, name) for one in measured]) for name in ("logits", "covariates"))
    labels, sources = (np.concatenate([getattr(one, name) for one in measured]) for name in ("labels", "groups"))
    return Measurements(measured[0].names, logits, covariates, labels, sources)


def put_on_card(report: FoldReport, folder: Path, command: str) -> None:
    """Put what a recipe's folds gave on a card, all but each source's figures; raises as `made_by`."""
    made_by(report.recipe, folder)
    update_card(folder, {"folds": report.for_card(command).document()})


def made_by(recipe: str, folder: Path) -> None:
    """See that the bundle in a folder was made by a recipe.

    Raises:
        DataError: it was made by another.
        BundleError: there is no bundle.
    """
    if (name := read_bundle(folder).name) != recipe:
        raise DataError(f"{folder} holds a bundle of {name}, and its card no place for figures of {recipe}")


def as_text(report: FoldReport) -> str:
    """Lay the report out for people: a line for each fold, then all of them together."""
    lines = [
        f"fold {place}: {fold.images:5d} images, AUROC "
        + ", ".join(f"{name} {value:.3f}" for name, value in fold.auroc_by_detector.items())
        + f", added {fold.auroc_of_added_logits:.3f}  ({', '.join(fold.sources)})"
        for place, fold in enumerate(report.folds, start=1)
    ]
    between = report.intervals_95.get("auroc")
    lines.append(
        f"all: {report.overall.images} images, AUROC {report.overall.auroc:.3f}"
        + (f" [{between[0]:.3f}, {between[1]:.3f}] fused, " if between else " fused, ")
        + ", ".join(f"{name} {value:.3f}" for name, value in report.auroc_by_detector.items())
        + f", added {report.auroc_of_added_logits:.3f}"
    )
    lines += [
        f"{kind}: {figures.accused} of {figures.images} accused, {figures.wrongly_accused:.4f}"
        for kind, figures in report.negatives.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m training.folds", description=__doc__)
    parser.add_argument("--recipe", required=True, help="a name in training/recipes, or a TOML file")
    parser.add_argument("--data", required=True, type=Path, help="the folder with the recipe's Parquet files")
    parser.add_argument("--out", required=True, type=Path, help="the run's folder, a folder for each fold in it")
    parser.add_argument("--minutes", type=float, help="wall clock for each detector of each fold")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument(
        "--write-card", type=Path, metavar="BUNDLE", help="the folder of the bundle whose card takes them"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        _run(arguments)
    except AssayError as error:
        sys.exit(f"folds: {error}")


def _run(arguments: argparse.Namespace) -> None:
    recipe = load_recipe(arguments.recipe, arguments.set)
    recipe = recipe if arguments.minutes is None else with_minutes(recipe, arguments.minutes)
    if arguments.write_card:
        made_by(recipe.name, arguments.write_card)  # not after hours
    report = measure_folds(recipe, arguments.data, arguments.out, arguments.device)
    print(as_text(report), end="")  # noqa: T201
    if arguments.write_card:
        put_on_card(report, arguments.write_card, _command(arguments))


def _command(arguments: argparse.Namespace) -> str:
    """Say the command without the paths of this machine."""
    recipe = Path(arguments.recipe).name
    minutes = "" if arguments.minutes is None else f" --minutes {arguments.minutes:g}"
    changes = "".join(f" --set {shlex.quote(change)}" for change in arguments.set)
    return f"python -m training.folds --recipe {recipe} --data DATA --out OUT{minutes}{changes}"


if __name__ == "__main__":
    main()
