"""The work of a decoder process: from a file's bytes to all that a scan needs of it. Neither torch nor settings."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from worker.images.complexity import check_complexity
from worker.images.decode import PREVIEW_SIDE, DecodedImage, Frame, decode
from worker.images.perceptual_hash import perceptual_hash
from worker.images.sampling import MOST_FRAMES
from worker.images.views import PreparedImage, ViewPlan, prepare
from worker.provenance.findings import Provenance
from worker.provenance.reading import ReadManifest, read_provenance


@dataclass(frozen=True)
class FileFacts:
    """What a file's bytes tell before anybody looks at its pixels.

    Attributes:
        sha256: of the bytes, in hexadecimal.
        size_bytes: length of the file.
        provenance: what the file says of its own origin.
    """

    sha256: str
    size_bytes: int
    provenance: Provenance


@dataclass(frozen=True)
class FrameLook:
    """What is kept of one frame of an animation.

    Attributes:
        number: its place in the file, from 0.
        at_ms: when it is first shown, in milliseconds from the start.
        prepared: views and measures for the bundle's detectors.
        preview: RGB, at most PREVIEW_SIDE pixels a side.
    """

    number: int
    at_ms: float
    prepared: PreparedImage
    preview: Image.Image


@dataclass(frozen=True)
class Animation:
    """What is kept of an animation beside the frame that stands for it.

    Attributes:
        count: how many frames the file has.
        number: of the frame that stands for it.
        at_ms: when that one is first shown, in milliseconds from the start.
        others: of further frames, in order; empty where the decoder gives the first picture alone.
        first_alone: the decoder does not give any other.
    """

    count: int
    number: int
    at_ms: float
    others: tuple[FrameLook, ...] = ()
    first_alone: bool = False


@dataclass(frozen=True)
class Look:
    """What is kept of an image's pixels.

    Attributes:
        prepared: views and measures for the bundle's detectors.
        preview: RGB, at most PREVIEW_SIDE pixels a side, to lay heatmaps over.
        pdq: the perceptual hash, 256 characters 0 or 1; None where the picture is too plain.
        truncated: the file breaks off; what is missing is white.
        animation: None for still pictures.
    """

    prepared: PreparedImage
    preview: Image.Image
    pdq: str | None
    truncated: bool = False
    animation: Animation | None = None

    @property
    def pictures(self) -> list[PreparedImage]:
        """Return the picture that stands for the image, then the other frames of an animation."""
        return [self.prepared, *(frame.prepared for frame in (self.animation.others if self.animation else ()))]


def read_file(data: bytes, read_manifest: ReadManifest) -> FileFacts:
    """Hash a file and read what it says of its origin.

    Raises:
        TooComplexError, TooManyPixelsError: its structure alone costs too much to walk.
    """
    check_complexity(data)
    return FileFacts(hashlib.sha256(data).hexdigest(), len(data), read_provenance(data, read_manifest))


def look_at(
    data: bytes,
    plans: Mapping[str, ViewPlan],
    *,
    max_pixels: int,
    most_frames: int = MOST_FRAMES,
    end_stage: Callable[[str], None] = lambda _name: None,
) -> Look:
    """Decode a file and cut its views.

    Args:
        data: the whole file.
        plans: views wanted, by detector name.
        max_pixels: most pixels, width times height, that are decoded.
        most_frames: of an animation that views are cut of, at least 1.
        end_stage: told when a stage has ended: `decode`, then `views`.

    Raises:
        PermanentError: what :func:`worker.images.decode.decode` raises, and TooComplexError.
    """
    check_complexity(data)
    decoded = decode(data, max_pixels=max_pixels)
    end_stage("decode")
    animation = _animation(decoded, plans, most_frames)
    prepared, preview = _cut(decoded.image, plans)
    look = Look(prepared, preview, perceptual_hash(preview), decoded.truncated, animation)
    end_stage("views")
    return look


def _cut(pixels: Image.Image, plans: Mapping[str, ViewPlan]) -> tuple[PreparedImage, Image.Image]:
    """Return the views of a picture and its preview, which is the picture itself made small."""
    prepared = prepare(pixels, plans)
    pixels.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return prepared, pixels


def _animation(decoded: DecodedImage, plans: Mapping[str, ViewPlan], most_frames: int) -> Animation | None:
    deciding, count = decoded.deciding, decoded.frame_count
    if deciding is None:
        return Animation(count, 0, 0.0, first_alone=True) if count > 1 else None
    others = spread([frame for frame in decoded.frames if frame is not deciding], most_frames - 1)
    looks = tuple(FrameLook(frame.number, frame.at_ms, *_cut(frame.image, plans)) for frame in others)
    return Animation(count, deciding.number, deciding.at_ms, looks)


def spread(frames: Sequence[Frame], most: int) -> list[Frame]:
    """Return at most so many of the frames, spread evenly over all of them."""
    if len(frames) <= most:
        return list(frames)
    return [frames[(2 * step + 1) * len(frames) // (2 * most)] for step in range(most)]
