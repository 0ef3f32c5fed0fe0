"""Scores: a bundle and images → what it says of each, exactly as the worker would.

Decoding and cutting views run in threads ahead of the networks, as they do in the worker.
"""

from __future__ import annotations

import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from tqdm import tqdm

from worker.cores import cores
from worker.errors import PermanentError
from worker.images.decode import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray
    from PIL import Image

    from training.evaluation.pictures import Pictures
    from worker.bundles.loaded import Bundle, PreparedImage, Scores

    Change = Callable[[Image.Image], Image.Image]

_T = TypeVar("_T")
_R = TypeVar("_R")
BATCH = 32
_AHEAD = 2 * BATCH
_MAX_PIXELS = 200_000_000


@dataclass(frozen=True)
class ImageScores:
    """What a bundle said of images, M of them.

    Attributes:
        rows: int64 (M,), which of the images asked for; those that cannot be decoded are not among them.
        names: of the detectors, D of them.
        logits: (M, D), raw.
        detector_probabilities: (M, D), each calibrated by itself.
        covariates: (M, C).
        probabilities: (M,), fused and calibrated, before any prior shift.
        features: what the CLIP detector saw, summed up: `images`, and `mean` and `deviation` of each feature; None
            where the bundle tells none.
    """

    rows: NDArray[np.int64]
    names: tuple[str, ...]
    logits: NDArray[np.float64]
    detector_probabilities: NDArray[np.float64]
    covariates: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    features: dict[str, Any] | None = None


def judge_pictures(bundle: Bundle, pictures: Pictures, change: Change | None = None, what: str = "") -> ImageScores:
    """Judge pictures, each changed first if asked; progress goes to stderr."""

    def prepare(data: bytes) -> PreparedImage | None:
        try:
            image = decode(data, max_pixels=_MAX_PIXELS).image
        except PermanentError:
            return None
        return bundle.prepare(image if change is None else change(image))

    return _judge(bundle, _ahead(prepare, pictures.read()), len(pictures), what)


def judge_images(bundle: Bundle, images: Iterable[Image.Image], total: int) -> ImageScores:
    """Judge images that are decoded already."""
    return _judge(bundle, _ahead(bundle.prepare, images), total, "")


def _ahead(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Map in threads and in order, never more than a few items ahead of who takes the results."""
    waiting = iter(items)
    with ThreadPoolExecutor(cores()) as pool:
        running = deque(pool.submit(function, item) for item in islice(waiting, _AHEAD))
        while running:
            yield running.popleft().result()
            running.extend(pool.submit(function, item) for item in islice(waiting, 1))


def _judge(bundle: Bundle, prepared: Iterable[PreparedImage | None], total: int, what: str) -> ImageScores:
    rows: list[int] = []
    covariates: list[tuple[float, ...]] = []
    scores: list[Scores] = []
    batch: list[PreparedImage] = []
    with tqdm(total=total, desc=what or bundle.version, mininterval=5, file=sys.stderr) as bar:
        for row, one in enumerate(prepared):
            if one is not None:
                rows.append(row)
                covariates.append(one.covariates)
                batch.append(one)
            if len(batch) == BATCH:
                scores += bundle.score(batch)
                batch = []
            bar.update()
        scores += bundle.score(batch)
    return _lay_out(bundle.detector_names, rows, covariates, scores)


def _lay_out(
    names: tuple[str, ...], rows: list[int], covariates: list[tuple[float, ...]], scores: list[Scores]
) -> ImageScores:
    return ImageScores(
        rows=np.array(rows, dtype=np.int64),
        names=names,
        logits=np.array([[s.logits[name] for name in names] for s in scores]),
        detector_probabilities=np.array([[s.probabilities[name] for name in names] for s in scores]),
        covariates=np.array(covariates),
        probabilities=np.array([s.probability for s in scores]),
        features=_summed_up([s.features for s in scores if s.features is not None]),
    )


def _summed_up(features: list[bytes]) -> dict[str, Any] | None:
    if not features:
        return None
    matrix = np.frombuffer(b"".join(features), "<f2").reshape(len(features), -1)  # (M, F)
    mean, deviation = (measure(axis=0, dtype=np.float64).round(5).tolist() for measure in (matrix.mean, matrix.std))
    return {"images": len(features), "mean": mean, "deviation": deviation}
