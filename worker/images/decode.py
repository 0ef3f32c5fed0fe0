"""Bytes to pixels as browsers show them, under limits that are checked before anything is decoded.

Only formats that people upload as pictures are tried, so no file reaches Pillow's rarer or program-calling readers.
What comes out is always upright 8-bit sRGB on white. Pure: no settings, no switches of the process.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pillow_heif
from PIL import Image, ImageFile, ImageStat, UnidentifiedImageError

from worker.errors import PermanentError, TooManyPixelsError, UndecodableError, UnsupportedTypeError
from worker.images.complexity import check_size
from worker.images.flatten import to_rgb
from worker.images.icons import best_icon
from worker.images.mend import MendedFile, mend
from worker.images.partial import load_what_is_there, rows_there
from worker.images.sampling import as_shown, durations_of, sample, sequence_length

pillow_heif.register_heif_opener()
Image.init()  # registers the readers that FORMATS names; Pillow would load most of them only later
# Our own limit is checked on the header; Pillow's would warn first and raise elsewhere.
Image.MAX_IMAGE_PIXELS = None

# Of the picture below a heatmap: people see where it glows, and it is cheap on every image.
PREVIEW_SIDE = 448
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "ICO")
# How the bytes of those formats begin: tells a damaged image from no image at all.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_BRANDS = tuple(
    b"ftyp" + brand
    for brand in (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
)
_ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}
_LEAST_SHARE = 0.5
# A frame whose brightness differs by less, reduced to so many pixels a side, shows nothing.
_PLAIN, _GLANCE = 4.0, 32


@dataclass(frozen=True)
class Frame:
    """One frame of an animation as it is shown.

    Attributes:
        image: RGB, 8 bits a channel, upright.
        number: its place in the file, from 0; a hidden default image is not counted.
        at_ms: when it is first shown, in milliseconds from the start.
    """

    image: Image.Image
    number: int
    at_ms: float


@dataclass(frozen=True)
class DecodedImage:
    """Pixels, and what the container said of itself.

    Attributes:
        image: RGB, 8 bits a channel, upright; of an animation the first frame, of those looked at, that is not plain.
        format: Pillow's name of the container, such as ``JPEG``.
        truncated: the file breaks off; what is missing is white.
        frames: of an animation up to eight frames spread over the time it is shown; empty for still pictures, and for
            sequences of which the decoder gives the first picture alone.
        frame_count: how many frames the file has.
    """

    image: Image.Image
    format: str
    truncated: bool = False
    frames: tuple[Frame, ...] = ()
    frame_count: int = 1

    @property
    def deciding(self) -> Frame | None:
        """Return the frame that `image` is; None where there are no frames."""
        return next((frame for frame in self.frames if frame.image is self.image), None)


def decode(data: bytes, *, max_pixels: int) -> DecodedImage:
    """Decode an image as browsers do, or frames of an animation.

    Args:
        data: the whole file.
        max_pixels: most pixels, width times height, that are decoded.

    Returns:
        Upright RGB pixels of at least 1x1.

    Raises:
        UnsupportedTypeError: not a picture of a known format.
        TooManyPixelsError: the header announces more pixels than allowed.
        UndecodableError: a picture, but damaged, or less than half of it is there.
    """
    if not data:
        raise UndecodableError("the object is empty")
    data = best_icon(data, max_pixels)
    try:
        return _decode(data, max_pixels)
    except (UndecodableError, UnsupportedTypeError) as error:
        mended = mend(data, max_pixels)
        if mended is None:
            raise
        return _decode_mended(mended, max_pixels, error)


def _decode(data: bytes, max_pixels: int, *, mended: MendedFile | None = None) -> DecodedImage:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _check_pixels(opened.size, max_pixels)
            check_size(opened.size, len(data))
            if mended is not None and mended.icc_profile:
                opened.info["icc_profile"] = mended.icc_profile
            return _decode_opened(data, opened, mended)
    except UnidentifiedImageError as error:
        if _looks_like_image(data):
            raise UndecodableError("the image's header is damaged") from error
        raise UnsupportedTypeError("not a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC or ICO image") from error
    except (PermanentError, MemoryError):
        raise
    except Exception as error:
        # What readers of a dozen formats raise on damaged files has no end.
        raise UndecodableError(str(error) or type(error).__name__) from error


def _decode_opened(data: bytes, opened: ImageFile.ImageFile, mended: MendedFile | None) -> DecodedImage:
    form = opened.format or ""
    if form in _ANIMATED and getattr(opened, "is_animated", False):
        return _decode_animation(data, opened, form)
    if mended is not None:
        load_what_is_there(opened)
    image = to_rgb(opened, data)
    return DecodedImage(image, form, frame_count=max(1, sequence_length(data)) if form == "HEIF" else 1)


def _decode_mended(mended: MendedFile, max_pixels: int, refused: PermanentError) -> DecodedImage:
    try:
        decoded = _decode(mended.data, max_pixels, mended=mended)
    except PermanentError as error:
        if isinstance(error, TooManyPixelsError):
            raise
        raise refused from error
    if not mended.truncated or decoded.frames:
        return replace(decoded, truncated=mended.truncated or decoded.truncated)
    height = decoded.image.height
    rows = rows_there(decoded.image, decoded.format, mended.share) if mended.rows is None else mended.rows
    if rows < _LEAST_SHARE * height:
        raise UndecodableError(f"the file breaks off: {rows} of {height} rows are there")
    decoded.image.paste("white", (0, rows, decoded.image.width, height))
    return replace(decoded, truncated=True)


def _decode_animation(data: bytes, opened: Image.Image, form: str) -> DecodedImage:
    first = 1 if getattr(opened, "default_image", False) else 0
    count = getattr(opened, "n_frames", 1) - first
    durations = durations_of(data, form, count)
    numbers = sample(durations, opened.width * opened.height)
    frames = tuple(_frames(data, opened, numbers, durations, first))
    truncated = len(frames) < len(numbers)
    if not frames and numbers != [0]:  # those before the damage count
        frames = tuple(_frames(data, opened, [0], durations, first))
    if not frames:
        raise UndecodableError("no frame of the animation is whole")
    return DecodedImage(_telling(frames).image, form, truncated, frames, count)


def _telling(frames: tuple[Frame, ...]) -> Frame:
    """Return the first frame that shows something: a plain one before it hides no picture."""
    for frame in frames:
        small = frame.image.resize((_GLANCE, _GLANCE), Image.Resampling.BOX).convert("L")
        if ImageStat.Stat(small).stddev[0] >= _PLAIN:
            return frame
    return frames[0]


def _frames(
    data: bytes, opened: Image.Image, numbers: list[int], durations: list[float], first: int
) -> Iterator[Frame]:
    at = 0
    for number in numbers:
        try:
            while at <= number + first:  # decoders compose a frame from the one before
                opened.seek(at)
                at += 1
            image = to_rgb(opened, data)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a damaged frame; what readers raise on it has no end.
            return
        yield Frame(image, number, sum(as_shown(durations)[:number]))


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise TooManyPixelsError(f"{width}x{height} pixels, the limit is {max_pixels}")


def _looks_like_image(data: bytes) -> bool:
    head = data[:16]
    brand = head[4:12]
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or brand in _BRANDS
