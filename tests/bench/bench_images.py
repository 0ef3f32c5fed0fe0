"""The images of the benchmark: a folder of the user's, or crops of photographs that installed packages carry."""

import io
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from infra.demo_images import as_jpeg, photographs

# In pixels: a platform's uploads after its own resizing.
SIDES = (256, 512, 768)


def gather(data: Path | None, count: int, sides: Sequence[int] = SIDES) -> dict[str, bytes]:
    """Return `count` distinct images by name.

    Args:
        data: a folder of images, a Parquet file with an ``image`` column, or None for crops of sample photographs.
        count: how many; fewer if there are not as many.
        sides: of the crops, in pixels.
    """
    if data is None:
        return _crops(count, sides)
    if data.suffix == ".parquet":
        rows = pq.ParquetFile(data).iter_batches(count, columns=["image"])
        return {f"{number:05d}.jpg": bytes(image) for number, image in enumerate(next(rows)["image"].to_pylist())}
    paths = sorted(path for path in data.rglob("*") if path.is_file())[:count]
    return {f"{number:05d}-{path.name}": path.read_bytes() for number, path in enumerate(paths)}


def _crops(count: int, sides: Sequence[int]) -> dict[str, bytes]:
    """Cut distinct square JPEG crops, turned and enlarged by chance so that they look different too."""
    choose = random.Random(0)  # noqa: S311 - the same images in every run
    opened = [Image.open(io.BytesIO(photograph.data)).convert("RGB") for photograph in photographs()]
    images: dict[bytes, None] = {}  # a dict keeps their order
    while len(images) < count:
        photograph = choose.choice(opened).transpose(choose.choice(list(Image.Transpose)))
        side = choose.choice(sides)
        scale = choose.uniform(1.0, 1.6) * max(1.0, side / min(photograph.size))
        whole = photograph.resize((math.ceil(photograph.width * scale), math.ceil(photograph.height * scale)))
        left, top = choose.randint(0, whole.width - side), choose.randint(0, whole.height - side)
        images[as_jpeg(whole.crop((left, top, left + side, top + side)), 90)] = None
    return {f"{number:05d}.jpg": data for number, data in enumerate(images)}
