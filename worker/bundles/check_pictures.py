"""Pictures that engines are compared on: always the same, made of numbers alone."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEED = 20261129
# (width, height) in turn: smaller than most views, as large, and larger.
_SIZES = ((96, 96), (224, 224), (320, 240), (400, 512))
_QUALITIES = (95, 80, 60, 40)


def check_pictures(count: int) -> list[Image.Image]:
    """Make pictures of clouds, of flat shapes and of enlarged noise, each compressed as JPEG."""
    return [_compressed(_picture(index), _QUALITIES[index // 3 % len(_QUALITIES)]) for index in range(count)]


def _picture(index: int) -> NDArray[np.float64]:
    """Make (H, W, 3) in 0…1."""
    rng = np.random.default_rng((_SEED, index))
    width, height = _SIZES[index % len(_SIZES)]
    kind = index % 3
    if kind == 0:
        return _clouds(rng, height, width)
    if kind == 1:
        return _shapes(rng, height, width)
    small = rng.random((height // 4, width // 4, 3))
    return np.asarray(np.repeat(np.repeat(small, 4, axis=0), 4, axis=1))


def _clouds(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Give noise whose strength falls with frequency, as it does in photographs."""
    down, across = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    falling = np.hypot(down, across).clip(min=1 / max(height, width)) ** -rng.uniform(0.6, 2.0)
    spectra = np.fft.rfft2(rng.normal(size=(3, height, width))) * falling
    waves = np.fft.irfft2(spectra, s=(height, width)).transpose(1, 2, 0)
    return _stretched(np.asarray(waves + 0.5 * waves.mean(axis=2, keepdims=True)))


def _shapes(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Give a gradient with discs on it, and a little noise."""
    down, across = np.mgrid[0:height, 0:width]
    picture = np.stack([down * rng.normal() + across * rng.normal() for _ in range(3)], axis=-1)
    picture = _stretched(picture)
    for _ in range(8):
        inside = np.hypot(down - rng.uniform(0, height), across - rng.uniform(0, width)) < rng.uniform(8, height / 3)
        picture[inside] = rng.random(3)
    noisy: NDArray[np.float64] = np.clip(
        picture + rng.normal(scale=rng.uniform(0.0, 0.06), size=picture.shape), 0.0, 1.0
    )
    return noisy


def _stretched(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(high - low, 1e-9)


def _compressed(values: NDArray[np.float64], quality: int) -> Image.Image:
    buffer = io.BytesIO()
    Image.fromarray(np.round(values * 255.0).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
