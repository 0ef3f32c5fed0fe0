"""Augmentation: what happens to images on their way here, done to both classes alike.

Uploads are cropped, resized, blurred and compressed again; a detector that leans on what these destroy is of no use,
and one that can tell the classes by their compression has learnt the collection, not the generator.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from PIL import Image, ImageFilter

from worker.images.views import reduced_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from worker.images.views import ViewPlan

    Augmentation = Callable[[NDArray[np.uint8], ViewPlan, Generator], Tensor]

_SHIFT = 3  # pixels, for small images
_MIRRORED = 0.5


@dataclass(frozen=True)
class History:
    """How often an upload has been through what, as probabilities, and what it was resized by at the most."""

    resized: float
    factors: tuple[float, float]
    blurred: float
    noisy: float
    jpeg: float
    jpeg_again: float
    webp: float
    coloured: float = 0.0
    qualities: tuple[int, int] = (50, 96)


_STRONG = History(resized=0.25, factors=(0.5, 1.3), blurred=0.1, noisy=0.1, jpeg=0.4, jpeg_again=0.25, webp=0.2)
# For a network that starts from nothing and has an hour: it must see traces before it can learn to see them weakened.
# Resized as often as the strong one and further: half the size cost most.
_MILD = History(resized=0.3, factors=(0.4, 1.3), blurred=0.03, noisy=0.03, jpeg=0.25, jpeg_again=0.1, webp=0.1)
# One thing at a time, for heads that are fitted on a few draws of each image.
_NATIVE = History(resized=0.0, factors=(1.0, 1.0), blurred=0.0, noisy=0.0, jpeg=0.0, jpeg_again=0.0, webp=0.0)
_HALVED = replace(_NATIVE, resized=1.0, factors=(0.5, 0.5))
_JPEG = replace(_NATIVE, jpeg=1.0)
_WEBP = replace(_NATIVE, webp=1.0)
# For heads on frozen encoders, which have such draws beside the picture as it is.
_WORN = History(
    resized=0.5,
    factors=(0.3, 1.5),
    blurred=0.08,
    noisy=0.08,
    jpeg=0.6,
    jpeg_again=0.3,
    webp=0.5,
    coloured=0.3,
    qualities=(30, 96),
)

# Thumbnails and previews: a half to a fifth of the size, and often compressed once more.
_REDUCED = replace(_WORN, resized=1.0, factors=(0.2, 0.6), blurred=0.0, noisy=0.0, coloured=0.0, jpeg=0.4, webp=0.3)


def light(pixels: NDArray[np.uint8], plan: ViewPlan, rng: Generator) -> Tensor:
    """Mirror and shift small images by a few pixels, for test sets made exactly like the training set.

    Args:
        pixels: uint8, (N, H, W, 3); what is not of the plan's size is reduced or enlarged to it first, as a whole.
        plan: says the size.
        rng: decides.

    Returns:
        uint8, (N, 3, size, size).
    """
    padded = np.pad(_wholes(pixels, plan), ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)), mode="reflect")
    out = np.empty((len(pixels), plan.size, plan.size, 3), dtype=np.uint8)
    offsets = rng.integers(0, 2 * _SHIFT + 1, size=(len(pixels), 2))
    mirrored = rng.random(len(pixels)) < _MIRRORED
    for i, (top, left) in enumerate(offsets):
        cut = padded[i, top : top + plan.size, left : left + plan.size]
        out[i] = cut[:, ::-1] if mirrored[i] else cut
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def flips(pixels: NDArray[np.uint8], plan: ViewPlan, rng: Generator) -> Tensor:
    """Reduce (or enlarge) each whole picture to the plan's size and mirror half of them, as for `light`."""
    views = _wholes(pixels, plan)
    mirrored = rng.random(len(pixels)) < _MIRRORED
    views[mirrored] = views[mirrored, :, ::-1]
    return torch.from_numpy(views).permute(0, 3, 1, 2)


def _wholes(pixels: NDArray[np.uint8], plan: ViewPlan) -> NDArray[np.uint8]:
    """Give a copy of what the detector would see of each whole picture, (N, size, size, 3)."""
    if pixels.shape[1:3] == (plan.size, plan.size):
        return np.array(pixels)
    return np.stack([reduced_whole(Image.fromarray(image), plan.size) for image in pixels])


def strong(pixels: NDArray[np.uint8], plan: ViewPlan, rng: Generator) -> Tensor:
    """Give each image one random view with a random upload history; arguments and result as for `light`."""
    return _with_history(pixels, plan, rng, _STRONG)


def mild(pixels: NDArray[np.uint8], plan: ViewPlan, rng: Generator) -> Tensor:
    """Do as `strong`, less often, but for resizing."""
    return _with_history(pixels, plan, rng, _MILD)


def cut_out(views: Tensor, side: int, rng: Generator) -> Tensor:
    """Hide a square of every view behind the view's mean colour.

    Args:
        views: uint8, (N, 3, H, W); changed in place.
        side: of the square, in pixels; it is centred anywhere, so that it may stick out. 0 hides nothing.
        rng: decides.

    Returns:
        The same views.
    """
    if not side:
        return views
    height, width = views.shape[2:]
    means = views.float().mean(dim=(2, 3), keepdim=True).to(torch.uint8)  # (N, 3, 1, 1)
    corners = rng.integers((-(side // 2), -(side // 2)), (height - side // 2, width - side // 2), size=(len(views), 2))
    for view, mean, (top, left) in zip(views, means, corners.tolist(), strict=True):
        view[:, max(0, top) : top + side, max(0, left) : left + side] = mean
    return views


def _with_history(pixels: NDArray[np.uint8], plan: ViewPlan, rng: Generator, history: History) -> Tensor:
    views = [_view(Image.fromarray(image), plan, rng, history) for image in pixels]
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)


def _view(image: Image.Image, plan: ViewPlan, rng: Generator, history: History) -> NDArray[np.uint8]:
    whole = rng.random() < plan.wholes / plan.cut
    if rng.random() < history.resized:
        image = _resized(image, rng.uniform(*history.factors), rng)
    side = min(*image.size, round(min(image.size) * rng.uniform(0.7, 1.0)) if whole else plan.size)
    left, top = (int(rng.integers(0, room - side + 1)) for room in image.size)
    image = image.crop((left, top, left + side, top + side))
    image = _uploaded(image, rng, history)
    if rng.random() < _MIRRORED:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if image.size != (plan.size, plan.size):
        if whole:
            image = image.resize((plan.size, plan.size), Image.Resampling.BICUBIC)
        else:
            lacking = plan.size - side
            return np.pad(np.asarray(image), ((0, lacking), (0, lacking), (0, 0)), mode="symmetric")
    return np.asarray(image)


def _uploaded(image: Image.Image, rng: Generator, history: History) -> Image.Image:
    if rng.random() < history.blurred:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    if rng.random() < history.noisy:
        noise = rng.normal(0.0, rng.uniform(1.0, 6.0), size=(image.height, image.width, 3))
        image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
    if history.coloured and rng.random() < history.coloured:
        image = _coloured(image, rng)
    if rng.random() < history.jpeg:
        image = compressed(image, "JPEG", int(rng.integers(*history.qualities)))
        if rng.random() < history.jpeg_again:
            image = compressed(image, "JPEG", int(rng.integers(60, 96)))
    elif rng.random() < history.webp:
        image = compressed(image, "WEBP", int(rng.integers(60, 96)))
    return image


def _coloured(image: Image.Image, rng: Generator) -> Image.Image:
    """Change brightness, gamma and saturation, as an editor or a filter does."""
    light = np.asarray(image, dtype=np.float32) / 255.0
    light = (light * rng.uniform(0.75, 1.25)).clip(0.0, 1.0) ** rng.uniform(0.75, 1.35)
    grey = light.mean(axis=-1, keepdims=True)
    return Image.fromarray(((grey + (light - grey) * rng.uniform(0.5, 1.4)).clip(0.0, 1.0) * 255).astype(np.uint8))


def _resized(image: Image.Image, factor: float, rng: Generator) -> Image.Image:
    kernel = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)[int(rng.integers(3))]
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))), kernel)


def compressed(image: Image.Image, kind: str, quality: int) -> Image.Image:
    """Encode and decode once: `kind` is JPEG or WEBP, `quality` 1 to 100."""
    buffer = io.BytesIO()
    options = {"method": 0} if kind == "WEBP" else {}
    image.save(buffer, format=kind, quality=quality, **options)
    return Image.open(buffer).convert("RGB")


AugmentationName = Literal["flips", "light", "mild", "strong", "worn", "reduced", "native", "halved", "jpeg", "webp"]
AUGMENTATIONS: dict[AugmentationName, Augmentation] = {
    "flips": flips,
    "light": light,
    "mild": mild,
    "strong": strong,
    "worn": partial(_with_history, history=_WORN),
    "reduced": partial(_with_history, history=_REDUCED),
    "native": partial(_with_history, history=_NATIVE),
    "halved": partial(_with_history, history=_HALVED),
    "jpeg": partial(_with_history, history=_JPEG),
    "webp": partial(_with_history, history=_WEBP),
}
