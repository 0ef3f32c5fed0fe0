import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Return a drawer of noise: the same bytes for the same seed, side and kind."""

    def draw(seed: int = 0, side: int = 16, kind: str = "JPEG", **options: object) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format=kind, **options)
        return buffer.getvalue()

    return draw


@pytest.fixture
def tree(tmp_path: Path, picture: Callable[..., bytes]) -> Callable[..., Path]:
    """Return a planter of pictures, each unlike the others, below a folder named `collection`."""
    root = tmp_path / "collection"

    def plant(*names: str) -> Path:
        for seed, name in enumerate(names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(picture(seed))
        return root

    return plant
