"""Bytes to pixels, under limits that are checked before anything is decoded.

Only formats that people upload as pictures are tried, so no file reaches
Pillow's rarer or program-calling readers. Of an animation the first frame
counts. What comes out is always upright 8-bit RGB.
"""

import ctypes
import io
from dataclasses import dataclass

import pillow_heif
from PIL import Image, ImageOps, UnidentifiedImageError

from worker.errors import PermanentError, TooManyPixelsError, UndecodableError, UnsupportedTypeError

pillow_heif.register_heif_opener()
Image.init()  # registers the readers that FORMATS names; Pillow would load most of them only later
# Our own limit is checked on the header; Pillow's would warn first and raise elsewhere.
Image.MAX_IMAGE_PIXELS = None

# Of the picture below a heatmap: people see where it glows, and it is cheap on every image.
PREVIEW_SIDE = 448
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
# How the bytes of those formats begin: tells a damaged image from no image at all.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_BRANDS = tuple(
    b"ftyp" + brand for brand in (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
)
_TO_8_BIT = 255.0 / 65535.0
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MAPPED_FROM, _KEPT = 32 * 1024 * 1024, 256 * 1024 * 1024  # bytes; glibc takes no more for the first


@dataclass(frozen=True)
class Decoded:
    """Pixels, and what the container said of itself.

    Attributes:
        image: RGB, 8 bits a channel, upright.
        format: Pillow's name of the container, such as ``JPEG``.
    """

    image: Image.Image
    format: str


def decode(data: bytes, *, max_pixels: int) -> Decoded:
    """Decode the first frame of an image.

    Args:
        data: the whole file.
        max_pixels: most pixels, width times height, that are decoded.

    Returns:
        Upright RGB pixels of at least 1x1.

    Raises:
        UnsupportedTypeError: not a picture of a known format.
        TooManyPixelsError: the header announces more pixels than allowed.
        UndecodableError: a picture, but damaged or incomplete.
    """
    if not data:
        raise UndecodableError("the object is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _check_pixels(opened.size, max_pixels)
            opened.load()
            return Decoded(_to_rgb(_upright(opened)), opened.format or "")
    except UnidentifiedImageError as error:
        if _looks_like_image(data):
            raise UndecodableError("the image's header is damaged") from error
        raise UnsupportedTypeError("not a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC image") from error
    except (PermanentError, MemoryError):
        raise
    except Exception as error:
        # What readers of a dozen formats raise on damaged files has no end.
        raise UndecodableError(str(error) or type(error).__name__) from error


def share_freed_memory() -> None:
    """Let threads reuse the memory that others freed; to be called before there are threads, glibc only.

    Otherwise glibc keeps the pixels that a thread freed for that thread: with
    as many threads as a worker has, some gigabytes that nobody uses. And it
    gives back to the system what a batch needs again at once, which then is
    mapped and cleared anew: a third of the time of a batch (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise TooManyPixelsError(f"{width}x{height} pixels, the limit is {max_pixels}")


def _looks_like_image(data: bytes) -> bool:
    head = data[:16]
    brand = head[4:12]
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or brand in _BRANDS


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow's EXIF reader raises anything at all.
        # A damaged note beside sound pixels: the picture stays as it is stored.
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnsupportedTypeError("floating-point pixels have no agreed white")
    if image.mode.startswith("I"):
        # 16-bit greys: Pillow's own conversion would clip everything above 255 to white.
        return image.convert("F").point(lambda value: value * _TO_8_BIT + 0.5).convert("L").convert("RGB")
    if image.has_transparency_data:
        # Browsers show transparent pictures on white; so do we, whatever colour hides underneath.
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
