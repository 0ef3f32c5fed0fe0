"""Draws AI-generated pictures with a small diffusion model of our own, for `assay demo` and for tests.

They come out of a generator of our own so that the demo ships no third party's images. They show dreamlike scenes
and textures, nothing in particular. Seeds below 1,000 are the demo's and the tests'; seeds from 10,000 are for
training detectors, so no detector has seen a picture that it is shown there. The weights beside this file were made
by `python -m training.generator.draw --train --data DIR --out FILE` (see `training.generator.fit`).
"""

import argparse
import contextlib
import functools
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from training.generator.fit import train
from training.generator.network import BASE_SIZE, LEVELS, Denoiser, enlarge, to_pixels

WEIGHTS = Path(__file__).with_name("generator.safetensors")
# Steps and largest noise of each level: whole pictures need many, detail on a known coarse picture few.
STEPS = (24, 24, 24, 16, 10, 7)
LARGEST_SIGMA = (40.0, 20.0, 20.0, 20.0, 20.0, 20.0)
SMALLEST_SIGMA, SMALLEST_SIZE = 0.02, 32
LARGEST_TRAINED = BASE_SIZE * 2 ** (LEVELS - 1)  # pixels, of a picture that begins with the coarsest the network knows
# Karras et al. 2022, equation 5: how strongly the steps crowd towards small noise.
CROWDING = 7.0
# The network is told of a little more noise than there is, so that it smooths what so small a one cannot place.
CLAIMED_NOISE = 1.05


def generate(seed: int, size: int = 256) -> Image.Image:
    """Draw one picture.

    Args:
        seed: decides the picture; the same seed gives the same picture on one machine.
        size: side in pixels, from 32. A picture above 256 starts from a larger coarse one, so its detail is drawn
            too. Sizes that no doubling reaches are resampled.

    Returns:
        An RGB picture of size x size.

    Raises:
        ValueError: if the size is below 32.
    """
    if size < SMALLEST_SIZE:
        raise ValueError(f"size must be at least {SMALLEST_SIZE}, not {size}")
    coarsest = BASE_SIZE * math.ceil(size / LARGEST_TRAINED)
    last_level = math.ceil(math.log2(size / coarsest))
    random = torch.Generator().manual_seed(seed)
    with _one_thread(), torch.inference_mode():
        picture = _draw_level(0, torch.zeros(1, 3, coarsest, coarsest), random)
        for level in range(1, last_level + 1):
            picture = _draw_level(level, enlarge(picture), random)
    pixels = picture[0].add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous()  # (H, W, 3)
    image = Image.fromarray(pixels.numpy())
    return image if image.width == size else image.resize((size, size), Image.Resampling.LANCZOS)


def _draw_level(level: int, coarse: Tensor, random: torch.Generator) -> Tensor:
    """Add a level's drawn data to the enlarged coarser picture (1, 3, H, W), in about -1..1.

    DPM-Solver++(2M), Lu et al. 2022 (arXiv 2211.01095): one run of the network a step, second order.
    """
    network, levels = _network(), torch.tensor([level])
    sigmas = _sigmas(STEPS[level], LARGEST_SIGMA[level])
    data = torch.randn(coarse.shape, generator=random) * sigmas[0]
    previous, previous_stride = None, 0.0
    for now, after in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
        clean = network(data, coarse, torch.tensor([CLAIMED_NOISE * now]), levels)
        if after == 0.0:
            data = clean
            break
        stride = math.log(now / after)
        aim = clean
        if previous is not None:
            ratio = stride / (2 * previous_stride)
            aim = (1 + ratio) * clean - ratio * previous
        data = (after / now) * data + (1 - after / now) * aim
        previous, previous_stride = clean, stride
    return (coarse + to_pixels(data, level)).clamp(-1, 1)


def _sigmas(steps: int, largest: float) -> list[float]:
    """List the noise sizes of the steps, falling."""
    high, low = largest ** (1 / CROWDING), SMALLEST_SIGMA ** (1 / CROWDING)
    return [(high + index / (steps - 1) * (low - high)) ** CROWDING for index in range(steps)]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread, since sums split over several threads round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@functools.cache
def _network() -> Denoiser:
    """Load the weights once for the process."""
    network = Denoiser()
    network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return network.to(memory_format=torch.channels_last).eval()


def main() -> None:
    """Write pictures for seeds from --first-seed on to --out, or train with --train."""
    parser = argparse.ArgumentParser(prog="python -m training.generator.draw", description=main.__doc__)
    parser.add_argument("--count", type=int, default=1, help="pictures to draw")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--format", choices=["png", "jpg"], default="png")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for the pictures, or the file of the weights",
    )
    parser.add_argument("--train", action="store_true", help="train instead of drawing")
    parser.add_argument("--data", type=Path, help="folder of wild-*.parquet, for --train")
    parser.add_argument("--minutes", type=float, default=12.0, help="how long to train")
    arguments = parser.parse_args()
    if arguments.train:
        if arguments.data is None:
            parser.error("--train needs --data")
        train(arguments.data, arguments.out, arguments.minutes)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.count):
        generate(seed).save(arguments.out / f"{seed:06d}.{arguments.format}")


if __name__ == "__main__":
    main()
