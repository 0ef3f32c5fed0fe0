"""Pictures to learn from in seconds: photographs are noise, one generator leaves stripes, a new one draws softly.

And a recipe whose detectors tell them apart after seconds on one core.
"""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIDE = 16
RECIPE = """
name = "tiny"
seed = 5
augmentation = "light"
files = ["tiny-train.parquet"]
held_out_share = 0.4
checkpoint_seconds = 1.0
scope = "noise and stripes"
[detectors.clip]
views = { size = 16, wholes = 1, crops = 0 }
[detectors.clip.architecture]
taps = [0]
[detectors.clip.architecture.tower]
image_size = 16
patch_size = 4
width = 32
layers = 2
heads = 2
mlp_ratio = 2.0
output_dim = 16
[detectors.clip.fit]
batch_size = 32
learning_rate = 3e-3
weight_decay = 0.01
epochs = 10
precision = "fp32"
[detectors.convnext]
views = { size = 16, wholes = 1, crops = 0 }
[detectors.convnext.architecture]
stem = [16]
[detectors.convnext.architecture.network]
patch_size = 1
depths = [1, 1, 0, 0]
dims = [16, 16, 16, 16]
kernel_sizes = 3
norm_layer = "batchnorm2d"
conv_mlp = true
[detectors.convnext.fit]
batch_size = 32
learning_rate = 3e-3
weight_decay = 0.01
epochs = 5
precision = "fp32"
[card]
title = "tiny"
"""


def picture(kind: str, seed: int, side: int = SIDE) -> bytes:
    """Draw a picture: `noise`, `stripes` or `haze`; the same bytes for the same seed."""
    pixels = np.random.default_rng((seed, len(kind))).integers(60, 196, (side, side, 3)).astype(np.int64)
    if kind == "stripes":
        pixels[:, ::2] += 50
        pixels[:, 1::2] -= 50
    if kind == "haze":
        pixels = (pixels + np.roll(pixels, 1, axis=1)) // 2
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def write_base(folder: Path, count: int) -> None:
    """Write the recipe and its own data: half noise, half stripes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    labels = [row % 2 for row in range(count)]
    table = pa.table(
        {
            "image": [picture("stripes" if label else "noise", row) for row, label in enumerate(labels)],
            "label": pa.array(labels, pa.int8()),
            "source": ["base"] * count,
            "generator": ["striper" if label else "real" for label in labels],
        }
    )
    pq.write_table(table, folder / "tiny-train.parquet")
