"""From what a reader opened to upright RGB on white, as a page with a white ground shows it."""

import numpy as np
from PIL import Image, ImageChops

from worker.errors import UnsupportedTypeError
from worker.images.colour import to_srgb

_TO_8_BIT = 255.0 / 65535.0
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(opened: Image.Image, data: bytes) -> Image.Image:
    """Return the frame that is open as RGB, 8 bits a channel, upright, in sRGB, transparent parts white.

    Args:
        opened: what a reader opened, at the frame that is meant.
        data: the whole file, for what the reader does not tell of colours.

    Raises:
        UnsupportedTypeError: floating-point pixels.
        OSError: and whatever else readers raise on damaged files.
    """
    if opened.mode == "F":
        raise UnsupportedTypeError("floating-point pixels have no agreed white")
    extent = _extent_of_a_small_frame(opened)
    opened.load()
    # A reader composes the next frame upon its own pixels.
    image = opened.copy() if getattr(opened, "is_animated", False) else opened
    image = _on_canvas(image, extent) if extent else image
    image = _eight_bits(image) if image.mode.startswith("I") else image
    return _upright(_on_white(to_srgb(_opaque_where_alpha_is_unused(image, opened.format), opened, data)), opened)


def _extent_of_a_small_frame(opened: Image.Image) -> tuple[int, int, int, int] | None:
    """Return where the first frame of a GIF lies that is smaller than the canvas; None for all others."""
    tiles = getattr(opened, "tile", None)
    if opened.format != "GIF" or not tiles or opened.tell() > 0:
        return None
    extent = tuple(tiles[0].extents or (0, 0, *opened.size))
    return None if extent == (0, 0, *opened.size) else (extent[0], extent[1], extent[2], extent[3])


def _on_canvas(opened: Image.Image, extent: tuple[int, int, int, int]) -> Image.Image:
    canvas = Image.new("RGBA", opened.size, (255, 255, 255, 0))
    canvas.paste(opened.convert("RGBA").crop(extent), extent)
    return canvas


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit greys as 8-bit ones; Pillow's own conversion would clip everything above 255 to white."""
    transparent = image.info.get("transparency")
    wide = image.convert("I")
    grey = wide.convert("F").point(lambda value: value * _TO_8_BIT + 0.5).convert("L")
    if isinstance(transparent, int):
        opaque = ImageChops.invert(_equal(wide, transparent))
        grey = Image.merge("LA", (grey, opaque))
    return grey


def _equal(image: Image.Image, value: int) -> Image.Image:
    return Image.fromarray((np.asarray(image) == value).astype(np.uint8) * 255)


def _opaque_where_alpha_is_unused(image: Image.Image, form: str | None) -> Image.Image:
    """Take a bitmap whose alpha is zero everywhere as opaque: its writer did not mean it."""
    if form == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    """Return the picture on white, whatever colour hides beneath what is transparent.

    Pasted: of a hundred megapixels a composition would take four times the time, and twice the memory.
    """
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    flat = Image.new("RGB", rgba.size, "white")
    flat.paste(rgba, mask=rgba.getchannel("A"))
    return flat


def _upright(image: Image.Image, opened: Image.Image) -> Image.Image:
    """Turn the picture as EXIF says; an orientation in XMP alone turns nothing, as in browsers."""
    turn = _TURNS.get(_orientation(opened))
    return image if turn is None else image.transpose(turn)


def _orientation(opened: Image.Image) -> int:
    try:
        tags = getattr(opened, "tag_v2", None)
        if tags is not None:
            return int(tags.get(_ORIENTATION, 1))
        exif = Image.Exif()
        exif.load(opened.info.get("exif") or b"")
        return int(exif.get(_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow's EXIF reader raises anything at all.
        # A damaged note beside sound pixels: the picture stays as it is stored.
        return 1
