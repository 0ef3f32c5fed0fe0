"""Recalibrate: a bundle of cross-fitted heads → the same heads, fused and calibrated anew, in its place.

`python -m training.export.recalibrate --recipe wild` needs neither images nor a network: the replay beside the bundle
holds what heads gave that never saw an image's source. Gains of views are taken from the recipe.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import torch

from training.calibration.held_out import tell_held_out
from training.calibration.held_out_again import measured_again
from training.data.collection import DataError
from training.evaluation.fold_report import report_of_heads
from training.export.card import code_version, probe
from training.export.recipe_words import told_of
from training.export.run_bundle import SHIPPED
from training.recipe_file import load_recipe
from training.retraining.refit_data import write_replay_table
from worker.bundles.card import card_document, read_card
from worker.bundles.card_measures import Change, Changes
from worker.bundles.copies import REPLAY
from worker.bundles.folder import read_bundle, write_bundle
from worker.bundles.loaded import Bundle
from worker.errors import AssayError

if TYPE_CHECKING:
    from training.recipe import DetectorRecipe, Recipe
    from worker.bundles.parts import BundleParts, DetectorPart

_FITTED = {"features", "gain"}  # of an architecture: no head depends on them


def recalibrate(recipe: Recipe, folder: Path) -> str:
    """Fuse and calibrate the bundle in a folder anew and write it there; gives its version.

    Raises:
        DataError: it has no replay, or its heads are not the recipe's.
        BundleError: the folder is no bundle.
    """
    parts = _with_gains(read_bundle(folder), recipe)
    samples, measured = measured_again(read_bundle(folder), folder)
    if not measured.balanced:
        raise DataError(f"{folder} holds no cross-fitted heads: export it from its run")
    result = tell_held_out(parts, samples, measured)
    report = report_of_heads(recipe, measured, samples)
    words = told_of(recipe)
    before = read_card(parts.card)
    old = before.measured_folds or report
    folds = report.for_card(old.command).model_copy(update={"changes": _without_verdicts(old.changes)})
    card = {
        **{key: value for key, value in parts.card.items() if key not in {"bundle", "content_sha256", "evaluations"}},
        **words,
        **result.facts,
        "folds": folds,
        "known_weaknesses": [*words["known_weaknesses"], *result.weaknesses],
        "code_version": code_version(),
        "probe": probe(Bundle(result.parts)),
    }
    version = write_bundle(replace(result.parts, card=card_document(card)), folder)
    _name_replay(folder / REPLAY, version)
    return version


def _with_gains(parts: BundleParts, recipe: Recipe) -> BundleParts:
    detectors = dict(parts.detectors)
    for own in recipe.detectors:
        there = detectors.get(own.name)
        if there is None or there.plan != own.views or _read_by_heads(there) != _read_by_heads(own):
            raise DataError(f"detector {own.name} of {parts.version()} is not recipe {recipe.name}'s: export it anew")
        kept = {key: value for key, value in there.architecture.items() if key != "gain"}
        gain = {key: value for key, value in own.architecture.items() if key == "gain"}
        detectors[own.name] = replace(there, architecture={**kept, **gain})
    return replace(parts, detectors=detectors)


def _read_by_heads(part: DetectorPart | DetectorRecipe) -> dict[str, Any]:
    return {key: value for key, value in part.architecture.items() if key not in _FITTED}


def _without_verdicts(changes: Changes) -> Changes:
    """Keep the order of changed images, which no calibration alters; what was accused was so by other thresholds."""
    by_change = {
        name: Change(auroc=figures.auroc, auroc_lost=figures.auroc_lost) for name, figures in changes.by_change.items()
    }
    return changes.model_copy(update={"by_change": by_change}) if by_change else Changes()


def _name_replay(file: Path, version: str) -> None:
    """Write a replay again in the name of another bundle."""
    write_replay_table(file, version, pq.read_table(file))


def main() -> None:
    """Read the command line and recalibrate."""
    parser = argparse.ArgumentParser(prog="python -m training.export.recalibrate", description=__doc__)
    parser.add_argument("--recipe", required=True, help="a name in training/recipes, or a TOML file")
    parser.add_argument("--bundle", type=Path, help="its folder, where it is not in worker/bundles/shipped")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        recipe = load_recipe(arguments.recipe)
        version = recalibrate(recipe, arguments.bundle or SHIPPED / recipe.name)
    except AssayError as error:
        sys.exit(f"recalibrate: {error}")
    print(version)  # noqa: T201 (its result)


if __name__ == "__main__":
    main()
