"""The work of a decoder process: from a file's bytes to all that a scan needs of it. Neither torch nor settings."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image

from worker.images.complexity import check_complexity
from worker.images.decode import PREVIEW_SIDE, decode
from worker.images.perceptual_hash import perceptual_hash
from worker.images.views import Prepared, ViewPlan, prepare
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
class Look:
    """What is kept of an image's pixels.

    Attributes:
        prepared: views and measures for the bundle's detectors.
        preview: RGB, at most PREVIEW_SIDE pixels a side, to lay heatmaps over.
        pdq: the perceptual hash, 256 characters 0 or 1; None where the picture is too plain.
    """

    prepared: Prepared
    preview: Image.Image
    pdq: str | None


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
    end_stage: Callable[[str], None] = lambda _name: None,
) -> Look:
    """Decode a file and cut its views.

    Args:
        data: the whole file.
        plans: views wanted, by detector name.
        max_pixels: most pixels, width times height, that are decoded.
        end_stage: told when a stage has ended: `decode`, then `views`.

    Raises:
        PermanentError: what :func:`worker.images.decode.decode` raises, and TooComplexError.
    """
    check_complexity(data)
    pixels = decode(data, max_pixels=max_pixels).image
    end_stage("decode")
    prepared = prepare(pixels, plans)
    pixels.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    look = Look(prepared, pixels, perceptual_hash(pixels))
    end_stage("views")
    return look
