"""Fits heads, fusion and calibration again on stored features, and lets the gate judge; prints the seconds.

`python tests/bench/refit.py [--images 100000] [--width 1024] [--threads 2]` draws features of a CLIP detector, as scans
would have stored them; reading them out of Postgres is not in the figure. `--wild 500` fits the default bundle's
encoder heads on so many labels beside its own replay.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[2]))  # tests are installed nowhere
from tests.support.scanned_features import seen_by_scans
from training.retraining.gate_case import Origin, Terms
from training.retraining.heads import Head, with_head
from training.retraining.refit import Samples, refit
from training.retraining.refit_data import joined, replayed
from worker.bundles.copies import REPLAY
from worker.bundles.folder import read_bundle
from worker.bundles.loaded import shipped_bundle
from worker.bundles.parts import BundleParts, DetectorPart
from worker.detectors.build import build_detector
from worker.images.views import ViewPlan


def drawn(count: int, width: int) -> Samples:
    """Draw images as a bundle would have stored them: two features of many tell the classes, not perfectly."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count).astype(np.int8)
    features = rng.standard_normal((count, width), dtype=np.float32)
    new = rng.random(count) < 0.1
    signs = np.where(labels == 1, 1.0, -1.0)
    features[:, 0] += 1.5 * signs * ~new
    features[:, 1] += 1.5 * signs * new
    sources = np.array([f"source-{index}" for index in rng.integers(0, 12, count)])
    return Samples(
        features=features.astype(np.float16),
        others=np.stack([np.zeros(count), signs + rng.standard_normal(count)], axis=1),
        covariates=rng.standard_normal((count, 2)),
        labels=labels,
        sources=sources,
        generators=np.where(labels == 1, "unknown", "real"),
        hashes=np.array([f"{value:064x}" for value in rng.permutation(count).astype(object) * (2**256 // count)]),
        origins=np.where(new, Origin.NEW.value, Origin.EARLIER.value).astype("U7"),
    )


def champion(width: int) -> BundleParts:
    """Make a bundle whose CLIP detector has so many features, and whose head knows the first of them."""
    tower = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "heads": 2, "mlp_ratio": 2.0}
    architecture, plan = {"tower": {**tower, "output_dim": width - 32}, "taps": [0]}, ViewPlan(32, 1, 0)
    state = build_detector("clip", architecture, plan).network.state_dict()
    parts = read_bundle(shipped_bundle("wild"))
    clip = DetectorPart(architecture, plan, state)
    knows_one = Head(np.eye(1, width, 0, dtype=np.float32)[0] * 2.0, 0.0)
    return with_head(replace(parts, detectors={**parts.detectors, "clip": clip}), knows_one)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1024, help="of the features; a PE-Core-L tower pools 1,024")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--wild", type=int, metavar="LABELS", help="refit the default bundle on so many")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.wild:
        folder = shipped_bundle("wild")
        base = read_bundle(folder)
        seen = joined(seen_by_scans(arguments.wild), replayed(folder / REPLAY, (base.version(),)))
    else:
        base, seen = champion(arguments.width), drawn(arguments.images, arguments.width)
    begun, cpu = time.perf_counter(), time.process_time()
    made = refit(base, seen, Terms(), {})
    figure = {
        "images": len(seen),
        "width": seen.features.shape[1],
        "threads": arguments.threads,
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "gate_passed": made.gate["passed"],
    }
    print(json.dumps(figure))


if __name__ == "__main__":
    main()
