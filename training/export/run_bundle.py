"""Export: a run's fitted detectors → a calibrated bundle with its card.

`python -m training.export.run_bundle --recipe cifake --data DIR --out DIR [--ship]`; `training.train` ends with it.
Weights are rounded to half precision first, so what is calibrated and measured is what ships.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from training.calibration.fusion import Measurements, grouped
from training.calibration.held_out import tell_held_out
from training.data.assemble import Rows, held_out_sources, recipe_rows, split
from training.evaluation.scores import judge_images
from training.export.card import code_version, data_facts, detector_facts, probe
from training.export.cross_fitted import export_cross_fitted
from training.export.recipe_words import certifies, in_own_words, selection, told_of
from training.export.rounding import shipped_precision
from training.fitting.run_folder import alone_in
from training.fitting.warm_start import keep_others, kept_from
from training.recipe import Recipe
from training.recipe_file import load_recipe
from worker.bundles.card import card_document
from worker.bundles.folder import write_bundle
from worker.bundles.loaded import Bundle
from worker.bundles.parts import FUSED, BundleParts, DetectorPart
from worker.decisions.calibration import Calibration, CalibrationFigures, Fusion
from worker.errors import AssayError
from worker.images.views import COVARIATE_NAMES

SHIPPED = Path(__file__).parents[2] / "worker" / "bundles" / "shipped"


def uncalibrated(recipe: Recipe, out: Path) -> BundleParts:
    """Gather a run's averaged weights into a bundle whose fusion and calibrations say nothing yet."""
    detectors = {}
    for part in recipe.detectors:
        tensors = load_file(out / part.name / "checkpoint.safetensors")
        averaged = {k.removeprefix("averaged."): v for k, v in tensors.items() if k.startswith("averaged.")}
        detectors[part.name] = DetectorPart(part.architecture, part.views, shipped_precision(averaged))
    plain = Calibration("temperature", (1.0,))
    return BundleParts(
        name=recipe.name,
        detectors=detectors,
        fusion=Fusion(dict.fromkeys(detectors, 1.0), ((0.0, 0.0, 1.0),) * len(COVARIATE_NAMES), 0.0),
        calibrations=dict.fromkeys((*detectors, FUSED), plain),
        figures=CalibrationFigures((), (), recipe.scope),
        card={},
    )


def measure_held_out(parts: BundleParts, rows: Rows, device: str) -> tuple[Measurements, dict[str, Any] | None]:
    """Run the detectors over held-out images exactly as the worker would; gives what the CLIP detector saw as well."""
    scores = judge_images(Bundle(parts, device), map(Image.fromarray, rows.pixels), len(rows))
    measured = Measurements(scores.names, scores.logits, scores.covariates, rows.labels, groups=rows.sources)
    return grouped(measured, rows.hashes), scores.features


def export(recipe: Recipe, data: Path, out: Path, folder: Path, device: str) -> str:
    """Calibrate a run on its held-out rows and write the bundle; gives its version."""
    rows = recipe_rows(recipe, data, out / "cache")
    training, held_out = split(rows, recipe)
    sources = held_out_sources(rows, recipe)
    recipe = in_own_words(recipe, data)
    parts = uncalibrated(recipe, out)
    measured, features = measure_held_out(parts, held_out, device)
    np.savez(
        out / "held_out.npz",
        logits=measured.logits,
        covariates=measured.covariates,
        labels=measured.labels,
        groups=measured.groups,
    )
    result = tell_held_out(parts, held_out, measured, device)
    words = told_of(recipe)
    licences = words.get("licences") or words.get("data")
    card = {
        **words,
        "detectors": detector_facts(result.parts),
        "detectors_from": kept_from(recipe, out),
        "training_data": data_facts(training, licences),
        "calibration_data": data_facts(held_out, licences),
        "features": features,  # drift is measured from here
        "certifies": certifies(sources, by_source=result.by_source),
        "held_out_sources": list(sources),
        **result.facts,
        "known_weaknesses": [*words["known_weaknesses"], *result.weaknesses],
        "code_version": code_version(),
        "probe": probe(Bundle(result.parts, device)),
    }
    return write_bundle(replace(result.parts, card=card_document({**card, "selection": selection(card)})), folder)


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(prog="python -m training.export.run_bundle", description=__doc__)
    parser.add_argument("--recipe", required=True, help="a name in training/recipes, or a TOML file")
    parser.add_argument("--data", required=True, type=Path, help="the folder with the recipe's Parquet files")
    parser.add_argument("--out", required=True, type=Path, help="the run's folder")
    parser.add_argument("--ship", action="store_true", help="write into worker/bundles/shipped, not the run's folder")
    parser.add_argument(
        "--others-from", type=Path, metavar="BUNDLE", help="take detectors that the run has not fitted from this folder"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = load_recipe(arguments.recipe)
    folder = SHIPPED / recipe.name if arguments.ship else arguments.out / "bundle"
    try:
        if arguments.others_from is not None:
            with alone_in(arguments.out, locks=True):
                keep_others(recipe, arguments.out, arguments.others_from)
        write = export_cross_fitted if recipe.is_cross_fitted else export
        version = write(recipe, arguments.data, arguments.out, folder, arguments.device)
    except AssayError as error:
        sys.exit(f"export: {error}")
    print(version)  # noqa: T201 (its result)


if __name__ == "__main__":
    main()
