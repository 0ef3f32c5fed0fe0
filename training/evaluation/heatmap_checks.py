"""Do heatmaps mean something? Measured on pictures, against a map drawn at random, and against shuffled weights.

*Deletion* blurs a picture where the map is warmest first, *insertion* sharpens a blurred one there first (Petsiuk et
al. 2018, arXiv:1806.07421): with a map that means something, the detector's probability falls fast in the first and
rises fast in the second. *Shuffled weights* (Adebayo et al. 2018, arXiv:1810.03292): a map that stays as it is when
the network has lost all it learnt shows the picture, not the detector.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageFilter
from scipy.stats import rankdata

from training.evaluation.pictures import some
from worker.bundles.card_heatmaps import AreaCheck, HeatmapCheck, HeatmapChecks
from worker.detectors.detector import Additive
from worker.detectors.heatmap import Method, grad_cam, looked_at
from worker.errors import PermanentError
from worker.images.decode import decode

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from training.evaluation.pictures import Pictures
    from worker.bundles.loaded import Bundle
    from worker.detectors.detector import Detector
    from worker.detectors.heatmap import Heatmap

_STEPS = 10
_DRAWS = 1000
_MOST_PIXELS = 50_000_000
# Enough to take a generator's traces and most shapes away, while the picture stays one of its kind.
_BLUR = 1 / 24
_WITH_STAGES = (Method.MULTI_LAYER, Method.GRAD_CAM)
_WITH_TOKENS = (Method.ELEMENTWISE, Method.GRAD_CAM)
_OF_SUMS = (Method.ADDITIVE,)


def heatmap_checks(
    bundle: Bundle, pictures: Pictures, most: int, seed: int = 0, only: Collection[str] = ()
) -> HeatmapChecks:
    """Check the heatmaps of every detector and method.

    Args:
        bundle: loaded.
        pictures: AI-generated ones, for it is their logit that maps explain.
        most: pictures used, evenly out of every source.
        seed: of the random maps, the shuffled weights and the bootstrap.
        only: detectors to check, by name; all where there are none.

    Returns:
        By detector and method, areas under the probability by map and by random map, and the mean rank correlation of
        maps before and after the weights were shuffled.
    """
    rng = np.random.default_rng(seed)
    images = _opened(pictures, most)
    checks: dict[str, dict[str, HeatmapCheck]] = {}
    for name in (name for name in bundle.detector_names if images and (not only or name in only)):
        detector = bundle.detector(name)
        shuffled = _shuffled(detector, seed)
        methods = _methods(detector)
        checks[name] = {str(method): _check(detector, shuffled, images, method, rng) for method in methods}
    return HeatmapChecks(images=len(images), detectors=checks)


def _methods(detector: Detector) -> tuple[Method, ...]:
    if isinstance(detector, Additive):
        return _OF_SUMS
    return _WITH_STAGES if hasattr(detector.network, "stages") else _WITH_TOKENS


def in_words(checks: HeatmapChecks) -> list[str]:
    """Say of each detector's methods whether their maps beat chance, one line each."""
    return [
        f"{name} {method}: {check.in_words()}"
        for name, methods in checks.detectors.items()
        for method, check in methods.items()
    ]


def _opened(pictures: Pictures, most: int) -> list[Image.Image]:
    images = []
    for data in some(pictures, most).read():
        try:
            images.append(decode(data, max_pixels=_MOST_PIXELS).image)
        except PermanentError:
            continue
    return images


def _check(
    detector: Detector,
    shuffled: Detector,
    images: Sequence[Image.Image],
    method: Method,
    rng: np.random.Generator,
) -> HeatmapCheck:
    areas: dict[str, list[tuple[float, float]]] = {"deletion": [], "insertion": []}
    alike, layer = [], ""
    for image in images:
        heatmap, other = (_map(one, image, method) for one in (detector, shuffled))
        layer = heatmap.layer
        area = looked_at(image.size, detector.plan)
        chance = rng.random(heatmap.raw.shape, dtype=np.float32)
        for kind, pairs in areas.items():
            by_map, by_chance = (
                _area(detector, image, order, kind)
                for order in (_order(heatmap.raw, area, rng), _order(chance, area, rng))
            )
            pairs.append((by_map, by_chance))
        alike.append(_correlation(heatmap.raw[area], other.raw[area]))
    compared = {kind: _compared(np.array(pairs), kind, rng) for kind, pairs in areas.items()}
    return HeatmapCheck(layer=layer, **compared, shuffled=float(np.mean(alike)))


def _map(detector: Detector, image: Image.Image, method: Method) -> Heatmap:
    (heatmap,) = grad_cam(detector, detector.views(image)[None].to(_device(detector)), [image.size], method)
    return heatmap


def _order(raw: NDArray[np.float32], area: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the cells that the detector looked at, flat, warmest first; ties fall at random."""
    cells = np.flatnonzero(area)
    cells = rng.permutation(cells)
    return cells[np.argsort(-raw.ravel()[cells], kind="stable")]


def _area(detector: Detector, image: Image.Image, order: NDArray[np.int64], kind: str) -> float:
    """Return the mean probability while a tenth after another of the cells is blurred, or sharpened: 0 to 1."""
    height, width = looked_at(image.size, detector.plan).shape
    blurred = image.filter(ImageFilter.GaussianBlur(max(image.size) * _BLUR))
    start, end = (image, blurred) if kind == "deletion" else (blurred, image)
    views = []
    for step in range(_STEPS + 1):
        changed = np.zeros(height * width, dtype=np.uint8)
        changed[order[: round(len(order) * step / _STEPS)]] = 255
        mask = Image.fromarray(changed.reshape(height, width)).resize(image.size, Image.Resampling.NEAREST)
        views.append(detector.views(Image.composite(end, start, mask)))
    with torch.inference_mode():
        logits = detector.logits(torch.stack(views).to(_device(detector)))  # (steps + 1,)
    return float(np.trapezoid(torch.sigmoid(logits).cpu().numpy(), dx=1 / _STEPS))


def _device(detector: Detector) -> torch.device:
    return next(detector.network.parameters()).device


def _compared(pairs: NDArray[np.float64], kind: str, rng: np.random.Generator) -> AreaCheck:
    by_map, by_chance = pairs[:, 0], pairs[:, 1]
    gains = by_chance - by_map if kind == "deletion" else by_map - by_chance  # (N,)
    draws = rng.choice(gains, size=(_DRAWS, len(gains))).mean(axis=1)
    low, high = np.quantile(draws, (0.025, 0.975)).tolist()
    return AreaCheck(
        by_map=float(by_map.mean()),
        by_random_map=float(by_chance.mean()),
        gain=float(gains.mean()),
        interval_95=(low, high),
        share_better=float((gains > 0).mean()),
    )


def _shuffled(detector: Detector, seed: int) -> Detector:
    """Return a copy whose weights are the same numbers in another order, tensor by tensor; torch runs it."""
    generator = torch.Generator().manual_seed(seed)
    engine = getattr(detector, "engine", None)  # it runs the weights as they were, and cannot be copied
    lost = copy.deepcopy(detector, {id(engine): None})
    with torch.no_grad():
        for weights in lost.network.parameters():
            places = torch.randperm(weights.numel(), generator=generator).to(weights.device)
            weights.copy_(weights.flatten()[places].view_as(weights))
    return lost


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the rank correlation of two maps' cells, 0 where one of them is the same everywhere."""
    first, second = rankdata(one), rankdata(other)
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
