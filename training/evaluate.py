"""Evaluation: a bundle and labelled images → every measure, overall, by source and by generator.

`python -m training.evaluate --bundle cifake --data FILE.parquet --json` measures what is shipped: it loads the
bundle's safetensors and runs them exactly as the worker does.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageFilter
from tqdm import tqdm

from training.augment import compressed
from training.data import Rows, content_hashes, load_rows, split
from training.metrics import bootstrap_intervals, by_group, measure
from training.recipe import load_recipe
from worker.calibration import derive_thresholds
from worker.detectors.bundle import Bundle, load_bundle, shipped_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from worker.detectors.bundle import Scores

BATCH = 32
# The budgets a default policy has; coverage and wrong accusations are measured under them.
FALSE_POSITIVE_BUDGET = 0.01
MISS_BUDGET = 0.05

DEGRADATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg_90": lambda image: compressed(image, "JPEG", 90),
    "jpeg_75": lambda image: compressed(image, "JPEG", 75),
    "jpeg_50": lambda image: compressed(image, "JPEG", 50),
    "webp_75": lambda image: compressed(image, "WEBP", 75),
    "resize_0.5": lambda image: _reduced(image, 0.5),
    "resize_0.25": lambda image: _reduced(image, 0.25),
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(1.0)),
}


def _reduced(image: Image.Image, factor: float) -> Image.Image:
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def score_images(bundle: Bundle, images: Iterable[Image.Image], total: int) -> list[Scores]:
    """Score images in batches, with progress on stderr."""
    scores: list[Scores] = []
    waiting = []
    for image in tqdm(images, total=total, desc=bundle.version, mininterval=10, file=sys.stderr):
        waiting.append(bundle.prepare(image))
        if len(waiting) == BATCH:
            scores += bundle.score(waiting)
            waiting = []
    return scores + bundle.score(waiting)


def evaluate(bundle: Bundle, rows: Rows, change: Callable[[Image.Image], Image.Image] | None = None) -> dict[str, Any]:
    """Measure a bundle on rows, each image changed first if asked; see `training.metrics` for the keys."""
    pictures = (Image.fromarray(pixels) for pixels in rows.pixels)
    scores = score_images(bundle, pictures if change is None else map(change, pictures), len(rows))
    return summarise(bundle, rows, np.array([s.probability for s in scores]), scores)


def summarise(bundle: Bundle, rows: Rows, probabilities: Any, scores: Sequence[Scores] = ()) -> dict[str, Any]:
    """Lay out the measures of probabilities (N,): overall, by detector, by source, by generator, the worst named."""
    thresholds = derive_thresholds(bundle.figures, false_positive_budget=FALSE_POSITIVE_BUDGET, miss_budget=MISS_BUDGET)
    by_source = by_group(rows.labels, probabilities, rows.sources, thresholds)
    worst = next(iter(by_source))
    return {
        "bundle": bundle.version,
        "thresholds": {"lower": thresholds.lower, "upper": thresholds.upper},
        "overall": measure(rows.labels, probabilities, thresholds),
        "intervals_95": bootstrap_intervals(rows.labels, probabilities, rows.sources),
        "worst_source": {"name": worst, "accuracy": by_source[worst]["accuracy"]},
        "by_detector": {
            name: measure(rows.labels, np.array([s.probabilities[name] for s in scores]))
            for name in (bundle.detector_names if scores else ())
        },
        "by_source": by_source,
        "by_generator": by_group(rows.labels, probabilities, rows.generators, thresholds),
    }


def find_bundle(name_or_path: str) -> Path:
    """Take a shipped bundle's name, or a folder."""
    path = Path(name_or_path)
    return path if (path / "bundle.json").is_file() else shipped_bundle(name_or_path)


def main(command_line: Sequence[str] | None = None) -> None:
    """Read the command line, evaluate and print."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--bundle", default="wild", help="a shipped bundle's name, or a bundle's folder")
    parser.add_argument("--data", required=True, type=Path, nargs="+", help="Parquet files with image and label")
    parser.add_argument("--held-out-of", help="only the rows that this recipe holds out of training")
    parser.add_argument("--without", type=Path, help="leave out images whose bytes occur in this Parquet file")
    parser.add_argument("--limit", type=int, help="this many images, evenly spread")
    parser.add_argument("--degradations", action="store_true", help="measure again under compression, resizing, blur")
    parser.add_argument("--cache", type=Path, default=Path(".assay/cache"), help="where decoded images are kept")
    parser.add_argument("--threads", type=int, help="CPU threads; all cores by default")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="everything as JSON instead of a summary")
    arguments = parser.parse_args(command_line)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    bundle = load_bundle(find_bundle(arguments.bundle), arguments.device)
    rows = _chosen_rows(arguments)
    report = evaluate(bundle, rows)
    if arguments.degradations:
        report["degraded"] = {name: evaluate(bundle, rows, change)["overall"] for name, change in DEGRADATIONS.items()}
    sys.stdout.write(json.dumps(report, indent=2) + "\n" if arguments.json else _summary(report))


def _chosen_rows(arguments: argparse.Namespace) -> Rows:
    rows = load_rows(arguments.data, arguments.cache)
    if arguments.held_out_of:
        recipe = load_recipe(arguments.held_out_of)
        at_hand = tuple(np.intersect1d(recipe.held_out_sources, rows.sources).tolist())  # made pictures are in no file
        rows = split(rows, replace(recipe, held_out_sources=at_hand))[1]
    if arguments.without:
        seen = content_hashes(pq.read_table(arguments.without, columns=["image"])["image"].to_pylist())
        rows = rows.take(np.flatnonzero(~np.isin(rows.hashes, seen)))
    if arguments.limit:
        rows = rows.take(np.unique(np.linspace(0, len(rows) - 1, arguments.limit).astype(int)))
    return rows


def _summary(report: dict[str, Any]) -> str:
    overall = report["overall"]
    lines = [
        f"bundle     {report['bundle']}",
        f"images     {overall['images']}",
        f"accuracy   {overall['accuracy']:.4f}",
    ]
    if overall["auroc"] is not None:
        lines += [f"auroc      {overall['auroc']:.4f}", f"tpr@1%     {overall['tpr_at_fpr_1pct']:.4f}"]
    lines += [f"ece        {overall['ece_15']:.4f}", f"worst      {report['worst_source']['name']}"]
    lines += [
        f"  {name:<24}{values['images']:>6}  {values['accuracy']:.4f}" for name, values in report["by_source"].items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
