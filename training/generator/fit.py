"""Fits the small generator of `training.generator.draw` on photographs; the script that made its weights.

Each step learns one of the coarse levels, from whole photographs, and one of the fine levels, from windows. Weights
are averaged over the steps and stored as float16 safetensors. Twelve minutes on one shared CPU core (some
3,000 steps) were enough for dreamlike pictures with natural colours, and that is all they need to be. The photographs'
licences vary and some state none: the weights are for demonstration and tests.
"""

import io
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from training.generator.network import BASE_SIZE, LEVELS, Denoiser, enlarge, to_data

# Products and portraits on plain grounds teach a small network grey walls; scenes teach it colour and texture.
LEFT_OUT = ("clothing", "shoes", "mu4dian", "dogcat")
# Levels whose batches are whole pictures rather than windows; composition is harder than texture, so they get more.
WHOLE_LEVELS = 3
WHOLE_PIXELS, WINDOW_PIXELS, LARGEST_COUNT = 64 * 16 * 16, 2 * 64 * 64, 128
# A larger window shows less of the padding at its edges, of which a whole picture has little.
LARGEST_WINDOW = 64
# The coarse picture is noised a little in training, since in drawing it comes from the network and has faults.
COARSE_NOISE = 0.06
LEARNING_RATE, AVERAGING = 2e-3, 0.996
SAVE_EVERY = 100

Pyramid = list[Tensor]


def photographs(data: Path) -> Iterator[Image.Image]:
    """Yield the photographs (label 0) of the scene sources in `data`/wild-*.parquet, RGB."""
    for file in sorted(data.glob("wild-*.parquet")):
        table = pq.read_table(file, columns=["image", "source"], filters=[("label", "=", 0)])
        for row in table.to_pylist():
            if row["source"] not in LEFT_OUT:
                yield Image.open(io.BytesIO(row["image"])).convert("RGB")


def pyramid(data: Path) -> Pyramid:
    """Hold every photograph at every level's size: LEVELS tensors (N, 3, S, S) uint8."""
    sizes = [BASE_SIZE << level for level in range(LEVELS)]
    levels: list[list[NDArray[np.uint8]]] = [[] for _ in sizes]
    for photograph in photographs(data):
        for kept, size in zip(levels, sizes, strict=True):
            # The finest level keeps the photographs' own pixels: enlarging would teach it blur.
            side = min(size, photograph.width)
            kept.append(np.asarray(photograph.resize((side, side), Image.Resampling.BOX, reducing_gap=None)))
    return [torch.from_numpy(np.stack(kept)).permute(0, 3, 1, 2) for kept in levels]


def batch(photos: Pyramid, level: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a level's unit-variance data and the coarse picture that it adds to, both (B, 3, S, S) float32."""
    sizes = photos[level]
    window = min(sizes.shape[-1], LARGEST_WINDOW)
    pixels = WHOLE_PIXELS if level < WHOLE_LEVELS else WINDOW_PIXELS
    count = min(LARGEST_COUNT, pixels // window**2)
    pick = torch.randint(len(sizes), (count,), generator=random)
    room = sizes.shape[-1] - window + 1
    top, left = (int(torch.randint(room, (), generator=random)) for _ in range(2))
    clean = sizes[pick, :, top : top + window, left : left + window].float() / 127.5 - 1
    mirrored = torch.randint(2, (count,), generator=random).bool()
    clean[mirrored] = clean[mirrored].flip(-1)
    if level == 0:
        return to_data(clean, 0), torch.zeros_like(clean)
    coarse = enlarge(functional.avg_pool2d(clean, 2))
    noise = torch.randn(coarse.shape, generator=random) * torch.rand((count, 1, 1, 1), generator=random)
    return to_data(clean - coarse, level), coarse + COARSE_NOISE * noise


def loss(network: Denoiser, clean: Tensor, coarse: Tensor, level: int, random: torch.Generator) -> Tensor:
    """Measure the mean squared error on the network's unit-variance target, at noise sizes drawn log-normally."""
    sigma = torch.exp(1.5 * torch.randn(len(clean), generator=random) + 0.2)
    size = sigma[:, None, None, None]
    noisy = clean + size * torch.randn(clean.shape, generator=random)
    gain = torch.rsqrt(size.square() + 1)
    target = (clean - noisy * gain.square()) / (size * gain)
    levels = torch.full((len(clean),), level)
    return functional.mse_loss(network.raw(noisy * gain, coarse, sigma, levels), target)


def train(data: Path, out: Path, minutes: float = 12.0) -> None:
    """Train for `minutes` on one core and write the averaged weights to `out`, now and then and at the end."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    photos = pyramid(data)
    network = Denoiser().to(memory_format=torch.channels_last)
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING))  # type: ignore[no-untyped-call]
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
    start = time.monotonic()
    for step in (bar := tqdm(itertools.count(), unit="step")):
        done = (time.monotonic() - start) / (60 * minutes)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, done)
        level = step % WHOLE_LEVELS
        whole = loss(network, *batch(photos, level, random), level, random)
        level = WHOLE_LEVELS + step % (LEVELS - WHOLE_LEVELS)
        finer = loss(network, *batch(photos, level, random), level, random)
        optimizer.zero_grad()
        torch.autograd.backward(whole + 0.5 * finer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(network)
        if step % SAVE_EVERY == 0:
            bar.set_postfix(done=f"{done:.0%}", whole=f"{whole.item():.3f}", finer=f"{finer.item():.3f}")
            _save(averaged.module, out)
    _save(averaged.module, out)


def _learning_rate(step: int, done: float) -> float:
    """Rise over the first hundred steps, then fall as half a cosine to nothing when the time is done (0..1)."""
    return LEARNING_RATE * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * done))


def _save(network: torch.nn.Module, out: Path) -> None:
    """Write the weights as float16 safetensors."""
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, out)
