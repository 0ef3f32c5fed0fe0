"""Facts of a picture's file that say nothing of what it shows: what a detector must not lean on."""

import hashlib
import io
from typing import Any

from PIL import Image

from worker.images.decode import FORMATS


def picture_facts(data: bytes) -> dict[str, Any]:
    """Read the header alone.

    Returns:
        sha256 (hex), bytes, format (`JPEG`, …), mode, width, height, and for JPEG the means of the luminance and
        chrominance quantisation tables, the sampling (luminance samples for each chrominance sample) and whether it is
        progressive, all 0 elsewhere; exif and icc as 0 or 1.

    Raises:
        OSError: Pillow does not know the file.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        tables = [sum(table) / len(table) for _, table in sorted(getattr(opened, "quantization", {}).items())]
        layers = getattr(opened, "layer", None) or [(0, 0, 0)]
        return {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "format": opened.format or "",
            "mode": opened.mode,
            "width": opened.width,
            "height": opened.height,
            "jpeg_luminance": tables[0] if tables else 0.0,
            "jpeg_chrominance": tables[-1] if tables else 0.0,
            "jpeg_sampling": int(layers[0][1]) * int(layers[0][2]),
            "jpeg_progressive": int(bool(opened.info.get("progressive"))),
            "exif": int("exif" in opened.info),
            "icc": int("icc_profile" in opened.info),
        }
