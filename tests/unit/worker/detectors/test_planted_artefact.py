"""A heatmap shows what a detector goes by: one that learnt a mark in the corner points into that corner."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits

from tests.unit.worker.detectors.conftest import SMALL_VIEWS, TOWER
from worker.detectors.build import build_detector
from worker.detectors.detector import Detector, normalise
from worker.detectors.heatmap import Heatmap, Method, grad_cam
from worker.detectors.views import ViewPlan

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
OWN = {"convnext": Method.MULTI_LAYER, "clip": Method.ELEMENTWISE}


def picture(seed: int, *, marked: bool) -> Image.Image:
    """Draw soft noise, and in the top left corner, if it is marked, stripes that nothing else in it looks like."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(60, 200, (8, 8, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    pixels = np.asarray(soft).copy()
    if marked:
        stripes = (np.arange(MARK) // 6 % 2 * 255).astype(np.uint8)
        pixels[:MARK, :MARK] = stripes[:, None, None]
    return Image.fromarray(pixels)


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


@pytest.fixture(scope="module", params=list(NETWORKS))
def detector(request: pytest.FixtureRequest) -> Detector:
    return trained(request.param)


def maps(detector: Detector, pictures: list[Image.Image], method: Method | None) -> list[Heatmap]:
    return grad_cam(
        detector, torch.stack([detector.views(one) for one in pictures]), [one.size for one in pictures], method
    )


def share_in_corner(raw: NDArray[np.float32]) -> float:
    """Return how much of a map's mass lies in the quarter with the mark, 0 to 1; a blind map has a quarter."""
    height, width = raw.shape
    return float(raw[: height // 2, : width // 2].sum() / max(raw.sum(), 1e-9))


def test_the_mass_lies_in_the_corner_with_the_mark(detector: Detector) -> None:
    marked = [picture(seed, marked=True) for seed in range(1000, 1012)]
    plain = [picture(seed, marked=False) for seed in range(1000, 1012)]
    views = torch.stack([detector.views(one) for one in [*marked, *plain]])
    with torch.no_grad():
        logits = detector.logits(views)
    assert logits[:12].min() > logits[12:].max()
    explained = maps(detector, marked, None)
    assert {heatmap.method for heatmap in explained} == {OWN[detector.name]}
    shares = [share_in_corner(heatmap.raw) for heatmap in explained]
    assert np.mean(shares) > 0.6, shares


def test_a_picture_with_the_mark_has_more_evidence_than_the_same_without(detector: Detector) -> None:
    def evidence(*, marked: bool) -> float:
        return float(np.mean([h.raw.mean() for h in maps(detector, [picture(2000, marked=marked)], None)]))

    assert evidence(marked=True) > 2 * evidence(marked=False)


def test_a_mark_moved_to_another_corner_takes_the_mass_along() -> None:
    detector = trained("convnext")
    turned = [picture(seed, marked=True).transpose(Image.Transpose.ROTATE_180) for seed in range(1000, 1006)]
    shares = [share_in_corner(heatmap.raw[::-1, ::-1]) for heatmap in maps(detector, turned, Method.GRAD_CAM)]
    assert np.mean(shares) > 0.5, shares
