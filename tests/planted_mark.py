"""Pictures with a mark in the corner, and detectors that learnt to go by it."""

from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits

from tests.unit.worker.small_bundles import SMALL_VIEWS, TOWER
from worker.detectors.build import build_detector
from worker.detectors.detector import Detector
from worker.detectors.pixels import normalise
from worker.images.views import ViewPlan

SIDE, MARK = 96, 24
_STEPS = 120
_PACE = {"convnext": 3e-3, "clip": 1e-3}
PLANS = {"convnext": ViewPlan(64, 1, 0), "clip": ViewPlan(48, 1, 0)}
NETWORKS: dict[str, dict[str, Any]] = {
    "convnext": {"network": {**SMALL_VIEWS, "depths": [1, 1, 1, 1], "dims": [16, 24, 32, 32]}, "stem": [8, 16]},
    "clip": {
        "tower": {**TOWER, "image_size": 48, "patch_size": 6, "width": 48, "layers": 3, "heads": 3},
        "taps": [0, 1, 2],
    },
}


def picture(seed: int, *, marked: bool) -> Image.Image:
    """Draw soft noise, and in the top left corner, if it is marked, stripes that nothing else in it looks like."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(60, 200, (8, 8, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    pixels = np.asarray(soft).copy()
    if marked:
        stripes = (np.arange(MARK) // 6 % 2 * 255).astype(np.uint8)
        pixels[:MARK, :MARK] = stripes[:, None, None]
    return Image.fromarray(pixels)


@cache  # frozen, and a copy is made by whoever changes it
def trained(name: str) -> Detector:
    torch.manual_seed(5)
    detector = build_detector(name, NETWORKS[name], PLANS[name])
    seeds = range(128)
    views = torch.stack([detector.views(picture(seed, marked=seed % 2 == 0))[0] for seed in seeds])  # (n, 3, H, W)
    labels = torch.tensor([float(seed % 2 == 0) for seed in seeds])
    pixels = normalise(views)
    optimiser = torch.optim.AdamW(detector.network.parameters(), lr=_PACE[name], weight_decay=0.05)
    detector.network.train()
    for step in range(_STEPS):
        chosen = torch.arange(32) + 32 * (step % 4)
        loss = binary_cross_entropy_with_logits(detector.view_logits(pixels[chosen]), labels[chosen])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    detector.network.eval().requires_grad_(requires_grad=False)
    return detector
