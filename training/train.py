"""Training: a recipe and data → fitted detectors, and a bundle or a report.

`python -m training.train --recipe cifake --data DIR --out DIR`, or `assay train`: it loads the data, writes its
manifest, prints its leak audit, fits every detector of the recipe one after the other, and goes on where it was
stopped. With all of them fitted, it calibrates and exports the bundle, or measures the classifiers. On several GPUs:
`accelerate launch -m training.train …`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState

from training.classifiers import judge
from training.data import leaks, manifest
from training.data.assemble import all_rows, held_out_note, held_out_sources, load_manifest, recipe_places
from training.data.parts import Parts, parts_of
from training.data.pixels import MixedSizesError, headers
from training.export.cross_fitted import export_cross_fitted
from training.export.run_bundle import export
from training.fitting import logistic_head
from training.fitting.fit import fit_detector
from training.fitting.run import Run
from training.fitting.run_folder import alone_in, claim
from training.fitting.warm_start import begin_from, take_weights
from training.recipe import DetectorRecipe, Recipe, RecipeError, smoke, with_minutes
from training.recipe_file import load_recipe
from training.retraining.labelled_bucket import local_data
from worker.bundles.folder import read_bundle
from worker.errors import AssayError
from worker.freed_memory import share_freed_memory
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# Of processes that wait while the first decodes, or caches features: torch's own ends a run after ten minutes.
_PATIENCE = timedelta(days=2)
_HEADERS = 5000  # looked at where pictures cannot be decoded as the recipe stands


@dataclass(frozen=True)
class Order:
    """What is to be trained.

    Attributes:
        recipe: already changed as asked.
        data: a folder with the recipe's files, or any other collection.
        out: the run's folder: cache, manifest, checkpoints, curves, results.
        device: a torch device.
        only: fit this detector alone and stop before calibration.
        listener: hears of the progress, for whoever shows it elsewhere.
        start_from: a bundle's folder whose weights the detectors begin with, instead of fresh ones.
        named: what the data is called in the folder's note in place of its fingerprint: for one that is gathered anew.
    """

    recipe: Recipe
    data: Path
    out: Path
    device: str = "cpu"
    only: str | None = None
    listener: Callable[[dict[str, Any]], None] = field(default=lambda _: None)
    start_from: Path | None = None
    named: str = ""


def train(order: Order) -> dict[str, Any]:
    """Run an order from data to result.

    Returns:
        `bundle` (its version) and `folder`, or a classifiers' report; nothing but `out` where one detector was fitted.

    Raises:
        AssayError: the recipe or the data cannot be used; the message says what to do.
    """
    recipe, out = order.recipe, order.out
    share_freed_memory()
    detectors = _detectors_of(order)
    # Of several processes the first decodes, the others find the cache.
    processes = PartialState(cpu=order.device == "cpu", timeout=_PATIENCE)
    with alone_in(out, locks=processes.is_main_process):
        with processes.main_process_first():
            claims = partial(_claim, order, detectors)
            parts = look_at_data(recipe, order.data, out, writes=processes.is_main_process, claims=claims)
        if recipe.is_cross_fitted:
            version = export_cross_fitted(recipe, order.data, out, out / "bundle", order.device)
            return {"bundle": version, "folder": str(out / "bundle")}
        runs = [_fit(order, part, parts) for part in detectors]
        if order.only is not None or not runs[0].leads:
            return {"out": str(out)}
        if recipe.kind == "classifier":
            return judge.judge(recipe, runs, parts, out)
        version = export(recipe, order.data, out, out / "bundle", order.device)
        return {"bundle": version, "folder": str(out / "bundle")}


def _detectors_of(order: Order) -> list[DetectorRecipe]:
    """Name the detectors to fit; what cannot be built is told now, not when its turn comes, hours later."""
    names = [part.name for part in order.recipe.detectors]
    if order.only not in {None, *names}:
        raise RecipeError(f"recipe {order.recipe.name} has no detector {order.only!r}; it has {', '.join(names)}")
    detectors = [part for part in order.recipe.detectors if order.only in {None, part.name}]
    for part in detectors:
        detector = part.build()
        if order.start_from is not None and _takes_a_start(part):
            take_weights(detector, part, order.start_from)
    return detectors


def _takes_a_start(part: DetectorRecipe) -> bool:
    """Tell whether it matters what a detector begins with: of an SRM detector a logistic head is all there is."""
    return part.kind != "srm" or part.fit.head != "logistic"


def _fit(order: Order, part: DetectorRecipe, parts: Parts) -> Run:
    recipe = order.recipe
    torch.manual_seed(recipe.seed)
    run = Run(part, order.out / part.name, order.device)
    if not run.resume() and order.start_from is not None and _takes_a_start(part):
        begin_from(run, order.start_from)
    if part.fit.head == "logistic":
        logistic_head.fit_head(run, recipe, parts.training)
    else:
        fit_detector(run, recipe, parts.training, parts.validation, order.listener)
    return run


def _claim(order: Order, detectors: Sequence[DetectorRecipe], data: str) -> None:
    claim(order.out, {part.name: _order_text(order, part, data) for part in detectors})


def _order_text(order: Order, part: DetectorRecipe, data: str) -> str:
    """Write down what decides a detector's weights; minutes may be raised to go on with a run.

    `data` is the data's fingerprint: the same at another place goes on, other labels at the same place do not.
    """
    timeless = replace(part, fit=replace(part.fit, minutes=0.0))
    recipe = replace(order.recipe, detectors=(), card={}, scope="", claim="", checkpoint_seconds=0.0)
    note = {"recipe": asdict(recipe), "detector": asdict(timeless), "data": order.named or data}
    if order.start_from is not None:
        note["start_from"] = read_bundle(order.start_from).version()
    return json.dumps(note, indent=1)


def look_at_data(
    recipe: Recipe, data: Path, out: Path, *, writes: bool = True, claims: Callable[[str], None] = lambda _: None
) -> Parts:
    """Load and part the data; write its manifest, print duplicates and the leak audit.

    Args:
        recipe: what is to be trained.
        data: as `Order.data`.
        out: the run's folder.
        writes: of several processes only the first does.
        claims: takes the data's fingerprint before anything but the cache is written; it may refuse the folder.
    """
    cache = out / "cache"
    try:
        rows = all_rows(recipe, data, cache)
    except MixedSizesError:
        # Files that were not made alike are those that leak: the audit is told even so.
        if writes:
            audited = leaks.audit(headers(recipe_places(recipe, data, cache), _HEADERS))
            sys.stderr.write(leaks.as_text(audited))
        raise
    parts = parts_of(rows, recipe)
    if not writes:
        return parts
    table = load_manifest(recipe_places(recipe, data, cache), cache, recipe.shape)
    splits = manifest.splits_of(table, parts, "held_out" if recipe.kind == "bundle" else "test")
    claims(manifest.fingerprint(table, splits))
    audited = leaks.audit(table)
    description = manifest.describe(table, splits, audited)
    listener = ""
    if recipe.kind == "bundle":
        sources = held_out_sources(rows, recipe)
        listener = held_out_note(sources, recipe)
        description |= {"held_out_sources": list(sources), "held_out_is": listener}
    manifest.write(out, table, splits, description)
    sys.stderr.write(manifest.as_text(description) + listener + leaks.as_text(audited))
    return parts


def order_of(
    recipe: str,
    data: str,
    out: Path,
    *,
    changes: Sequence[str] = (),
    smoke_run: bool = False,
    minutes: float | None = None,
    device: str | None = None,
    only: str | None = None,
    start_from: Path | None = None,
) -> Order:
    """Make an order of what a command line says; arguments as of `Order`, `device` none for a GPU where there is one.

    Raises:
        AssayError: there is no such recipe, or the data is out of reach.
    """
    changed = load_recipe(recipe, changes)
    changed = smoke(changed) if smoke_run else changed
    changed = changed if minutes is None else with_minutes(changed, minutes)
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Order(changed, local_data(data, out / "cache", Settings()), out, chosen, only, start_from=start_from)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--recipe", required=True, help="a name in training/recipes, or a TOML file")
    parser.add_argument("--data", required=True, help="folder, Parquet file, CSV or s3://bucket/prefix")
    parser.add_argument("--out", required=True, type=Path, help="the run's folder: cache, checkpoints, bundle")
    parser.add_argument("--detector", help="fit this one only and stop before calibration")
    parser.add_argument("--minutes", type=float, help="wall clock for each detector instead of the recipe's")
    parser.add_argument("--start-from", type=Path, metavar="FOLDER", help="begin with the weights of this bundle")
    parser.add_argument("--smoke", action="store_true", help="everything in minutes, on few pictures")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--device", help="a torch device; a GPU where there is one")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        order = order_of(
            arguments.recipe,
            arguments.data,
            arguments.out,
            changes=arguments.set,
            smoke_run=arguments.smoke,
            minutes=arguments.minutes,
            device=arguments.device,
            only=arguments.detector,
            start_from=arguments.start_from,
        )
        result = train(order)
    except AssayError as error:
        sys.exit(f"training: {error}")
    print(result.get("bundle") or (judge.as_text(result) if "networks" in result else result["out"]))  # noqa: T201


if __name__ == "__main__":
    main()
