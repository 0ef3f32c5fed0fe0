"""Features of encoders: pictures → what an encoder's layers give of a view of each, kept for every fit that follows.

The first draw is the picture's own centre, as the detector sees it; the others have a random upload history each. A
network runs over every draw once; heads are fitted on what it gave, as often as there are folds.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from training.evaluation.pictures import fingerprint
from training.fitting.augment import AUGMENTATIONS
from training.recipe import RecipeError
from worker.bundles.encoders.folder import EncoderFolder
from worker.detectors.encoder import EncoderDetector
from worker.detectors.engine.openvino import CANNOT_EXPORT, OpenVinoEngine, cpu_precisions, export
from worker.images.views import cut_views

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from training.data.assemble import Rows
    from training.recipe import DetectorRecipe, Recipe

_AT_ONCE = 16


def frozen_encoder(part: DetectorRecipe, encoders: EncoderFolder | None = None) -> EncoderDetector:
    """Build an encoder detector with its encoder's weights; its head is still random.

    Raises:
        RecipeError: the recipe's detector is none.
        EncoderError: the encoder is not on this machine.
    """
    detector = part.build()
    if not isinstance(detector, EncoderDetector) or not detector.architecture.encoder:
        raise RecipeError(f"detector {part.name} wants architecture.kind = 'encoder', and architecture.encoder")
    fresh = {name: value for name, value in detector.network.state_dict().items() if not name.startswith("body.")}
    weights = (encoders or EncoderFolder()).read(detector.architecture.encoder)
    detector.network.load_state_dict(detector.whole_state(fresh, weights))
    detector.network.eval().requires_grad_(requires_grad=False)
    return detector


def give_engine(detector: EncoderDetector, device: str, cache: Path | None = None) -> None:
    """Let a CPU run the encoder by OpenVINO, as it is served, where it can; it stays with torch elsewhere."""
    detector.network.to(device)
    if device != "cpu":
        return
    try:
        content = hashlib.sha256(repr(detector.architecture).encode()).hexdigest()
        model = export(detector.body(), detector.plan.size, cache, content)
        detector.engine = OpenVinoEngine(model, cpu_precisions()[0], torch.get_num_threads())
    except CANNOT_EXPORT as error:
        sys.stderr.write(f"{detector.name} runs by torch: OpenVINO cannot run it ({error!r:.100})\n")


def features_of(
    part: DetectorRecipe, recipe: Recipe, rows: Rows, cache: Path, device: str
) -> list[NDArray[np.float16]]:
    """Give the features of every draw of each row: `fit.draws` arrays of (N, F), mapped from files.

    A killed run goes on where it was.
    """
    detector = frozen_encoder(part)
    folder = cache / f"{part.name}-{_named(part, recipe, rows)}"
    folder.mkdir(parents=True, exist_ok=True)
    width = detector.network.get_buffer("centre").shape[0]
    stored = [_Draw(folder / f"draw-{draw}.npy", (len(rows), width)) for draw in range(part.fit.draws)]
    if any(one.done < len(rows) for one in stored):
        give_engine(detector, device, folder)
    for draw, one in enumerate(stored):
        for start in tqdm(
            range(one.done, len(rows), _AT_ONCE), desc=f"{part.name} draw {draw}", mininterval=5, file=sys.stderr
        ):
            which = np.arange(start, min(start + _AT_ONCE, len(rows)))
            with torch.inference_mode():
                pooled = detector.run(_views(part, recipe, rows, which, draw)[:, None].to(device))
            one.put(which, pooled.cpu().numpy())
    return [one.values for one in stored]


def changed_features(part: DetectorRecipe, pictures: Sequence[Image.Image], device: str) -> NDArray[np.float32]:
    """Give the features of pictures that are no larger than a view, so that all their crops are the same: (N, F)."""
    detector, plan = frozen_encoder(part), replace(part.views, wholes=0, crops=1, mirrored=False)
    give_engine(detector, device)
    pooled = []
    for start in tqdm(range(0, len(pictures), _AT_ONCE), desc=part.name, mininterval=5, file=sys.stderr):
        views = np.stack([cut_views(picture, plan) for picture in pictures[start : start + _AT_ONCE]])
        with torch.inference_mode():
            pooled.append(detector.run(torch.from_numpy(views).to(device)).cpu().numpy())
    return np.concatenate(pooled)


def _views(part: DetectorRecipe, recipe: Recipe, rows: Rows, which: NDArray[np.int64], draw: int) -> Tensor:
    """Cut one view of each picture: (B, 3, H, W) uint8."""
    plan = replace(part.views, wholes=0, crops=1, mirrored=False)
    if draw == 0:
        return torch.from_numpy(np.concatenate([cut_views(Image.fromarray(rows.pixels[row]), plan) for row in which]))
    ways = part.fit.draw_as or (recipe.augmentation,)
    rng = np.random.default_rng((recipe.seed, draw, int(which[0])))
    return AUGMENTATIONS[ways[(draw - 1) % len(ways)]](rows.pixels[which], plan, rng)


def _named(part: DetectorRecipe, recipe: Recipe, rows: Rows) -> str:
    """Hash all that changes what is kept."""
    made_of = {
        "architecture": {key: value for key, value in part.architecture.items() if key not in {"features", "gain"}},
        "size": part.views.size,
        "ways": [recipe.augmentation, *part.fit.draw_as],
        "seed": recipe.seed,
        "rows": fingerprint(rows.hashes, rows.labels),
        "first": rows.hashes[:1].tolist(),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=list).encode()).hexdigest()[:16]


class _Draw:
    """One draw's features in a file, and in another how many rows of it are done."""

    def __init__(self, file: Path, shape: tuple[int, int]) -> None:
        self._mark = file.with_suffix(".done")
        try:
            self.done = int(self._mark.read_text(encoding="utf-8"))
            self.values: Any = np.lib.format.open_memmap(file, mode="r+")
        except (OSError, ValueError):
            self.done = 0
            self.values = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)

    def put(self, which: NDArray[np.int64], pooled: NDArray[np.float32]) -> None:
        self.values[which] = np.clip(pooled, -6e4, 6e4)  # the range of half precision
        self.values.flush()
        half = self._mark.with_suffix(".tmp")
        half.write_text(str(int(which[-1]) + 1), encoding="utf-8")
        os.replace(half, self._mark)  # noqa: PTH105 (one atomic move)
        self.done = int(which[-1]) + 1
