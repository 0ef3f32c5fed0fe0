"""What is there of a picture whose file breaks off."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

# What libjpeg puts where a scan has nothing: blocks of zeros, a grey in the middle.
_JPEG_GREY = (127, 129)
_BLOCK = 16  # rows that a WebP holds together


def rows_there(image: Image.Image, form: str, share: float) -> int:
    """Return how many rows from the top are the picture's own.

    Args:
        image: RGB, as decoded from a file that was made whole.
        form: Pillow's name of the container.
        share: of the file's bytes that are there.
    """
    if form == "WEBP":
        return int(image.height * share) // _BLOCK * _BLOCK
    if form != "JPEG":
        return image.height
    rows: NDArray[np.uint8] = np.asarray(image)
    own = np.flatnonzero((rows.min(axis=(1, 2)) < _JPEG_GREY[0]) | (rows.max(axis=(1, 2)) > _JPEG_GREY[1]))
    return int(own[-1]) + 1 if len(own) else 0


def load_what_is_there(opened: Image.Image) -> None:
    """Decode a GIF as far as it goes; rows of an interlaced one that are missing show the one above, as in browsers.

    Raises:
        OSError: less than half of the rows are there, or what the reader raises on other formats.
    """
    try:
        opened.load()
    except OSError:
        if opened.format != "GIF" or not isinstance(opened, ImageFile.ImageFile):
            raise
        opened.tile = []  # what was decoded so far is the picture
        pixels = np.asarray(opened).copy()
        own = (pixels != pixels.flat[-1]).any(axis=1)
        if own.mean() < 0.5:  # noqa: PLR2004 (half)
            raise
        above = np.maximum.accumulate(np.where(own, np.arange(len(own)), 0))
        opened.paste(Image.fromarray(pixels[above], opened.mode))
