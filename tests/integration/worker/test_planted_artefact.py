"""A heatmap shows what a detector goes by: one that learnt a mark in the corner points into that corner."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.planted_mark import NETWORKS, picture, trained
from worker.detectors.detector import Detector
from worker.detectors.heatmap import Heatmap, Method, grad_cam

OWN = {"convnext": Method.MULTI_LAYER, "clip": Method.ELEMENTWISE}


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
