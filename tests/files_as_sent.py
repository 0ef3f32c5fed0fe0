"""A table of files as people really send them, each made here by the libraries that programs use.

Each row says how its scan ends, what it declares, and whether Chromium shows it, so that pixels can be compared.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from tests import made_files as made
from tests.made_files import exif_of, file_of, insert_chunk, png_text, xmp_of
from tests.unusual_files import (
    animation,
    big_profile,
    bmp16,
    bmp32,
    chromaticities,
    cmyk_profile,
    cut,
    grey,
    grey16_with_transparency,
    heic_sequence,
    mini_avif,
    oriented,
    os2,
    photo,
    png,
    small_gif_frame,
    with_bad_checksum,
    with_brand,
    with_code_points,
    zipped_text,
)
from worker.errors import Reason
from worker.images.cicp import matrix_profile

SHOWN, HALF_SHOWN, NOT_SHOWN = "shown", "but for its last rows", "not shown"


@dataclass(frozen=True)
class Sent:
    """A file, and what must come of it.

    Attributes:
        make: makes it.
        reason: why its scan is rejected; None where it ends with a verdict.
        tags: what it declares.
        truncated: it breaks off.
        browser: whether Chromium shows it: whole, but for its last rows, or not at all.
        frames: how many frames of an animation are looked at.
    """

    make: Callable[[], bytes]
    reason: Reason | None = None
    tags: tuple[str, ...] = ()
    truncated: bool = False
    browser: str = SHOWN
    frames: int = 0


JPEG = {"quality": 92, "subsampling": 0}
GRAPH = json.dumps({"nodes": [{"id": n, "type": "KSampler", "x": "y" * 100} for n in range(12_000)]})
LONG_XMP = xmp_of("dc:title", "a cat").decode().replace("</x:xmpmeta>", "<!-- history -->" * 100_000 + "</x:xmpmeta>")
P3 = matrix_profile(12, 13) or b""

FILES: dict[str, Sent] = {
    # Sound files of every kind.
    "sound.jpg": Sent(lambda: file_of("JPEG", photo(), **JPEG)),
    "progressive.jpg": Sent(lambda: file_of("JPEG", photo(), progressive=True, **JPEG)),
    "sound.png": Sent(png),
    "palette.png": Sent(lambda: file_of("PNG", photo().quantize(32))),
    "sound.webp": Sent(lambda: file_of("WEBP", photo(), quality=90)),
    "sound.gif": Sent(lambda: file_of("GIF", photo())),
    "sound.avif": Sent(lambda: file_of("AVIF", photo(), quality=90)),
    "brand mif3.avif": Sent(lambda: with_brand(file_of("AVIF", photo(), quality=90), b"mif3")),
    "brand mp42.avif": Sent(lambda: with_brand(file_of("AVIF", photo(), quality=90), b"mp42")),
    "minimized.avif": Sent(mini_avif, Reason.UNSUPPORTED_TYPE, browser=NOT_SHOWN),
    "sound.bmp": Sent(lambda: file_of("BMP", photo())),
    "sound.ico": Sent(lambda: file_of("ICO", photo(), sizes=[(16, 16), (96, 96)])),
    "bitmap.ico": Sent(lambda: file_of("ICO", photo(), sizes=[(16, 16), (96, 96)], bitmap_format="bmp")),
    "sound.heic": Sent(lambda: made.heic(photo()), browser=NOT_SHOWN),
    "sound.tiff": Sent(lambda: file_of("TIFF", photo()), browser=NOT_SHOWN),
    # Files that break off.
    "without its last two bytes.jpg": Sent(
        lambda: file_of("JPEG", photo(), **JPEG)[:-2], truncated=True, browser=HALF_SHOWN
    ),
    "cut by a fifth.jpg": Sent(lambda: cut(file_of("JPEG", photo(), **JPEG), 0.8), truncated=True, browser=HALF_SHOWN),
    "progressive, cut by a third.jpg": Sent(
        lambda: cut(file_of("JPEG", photo(), progressive=True, **JPEG), 0.7), truncated=True
    ),
    "a third of it.jpg": Sent(
        lambda: cut(file_of("JPEG", photo(), **JPEG), 0.33), Reason.UNDECODABLE, browser=NOT_SHOWN
    ),
    "cut by a quarter.png": Sent(lambda: cut(png(), 0.75), truncated=True),
    "a third of it.png": Sent(lambda: cut(png(), 0.33), Reason.UNDECODABLE, browser=NOT_SHOWN),
    "without its end.png": Sent(lambda: png()[:-12]),
    "without its trailer.gif": Sent(lambda: file_of("GIF", photo())[:-1]),
    "cut by a quarter.gif": Sent(lambda: cut(file_of("GIF", photo()), 0.75), truncated=True, browser=HALF_SHOWN),
    "a second frame that breaks off.gif": Sent(
        lambda: animation("GIF", photo(), photo().rotate(180), [100, 5000])[:-800],
        truncated=True,
        frames=1,
        browser=NOT_SHOWN,  # by then it shows what there is of the second
    ),
    "without its last two bytes.webp": Sent(
        lambda: file_of("WEBP", photo(), quality=90)[:-2], truncated=True, browser=NOT_SHOWN
    ),
    "cut by a third.webp": Sent(
        lambda: cut(file_of("WEBP", photo(), quality=90), 0.66), Reason.UNDECODABLE, browser=NOT_SHOWN
    ),
    "cut by half.avif": Sent(lambda: cut(file_of("AVIF", photo()), 0.5), Reason.UNDECODABLE, browser=NOT_SHOWN),
    # Faults beside the pixels of a PNG.
    "bad checksum of a text.png": Sent(lambda: with_bad_checksum(png(), b"tEXt", b"Comment\x00hello")),
    "bad checksum of gAMA.png": Sent(lambda: with_bad_checksum(png(), b"gAMA", struct.pack(">I", 100_000))),
    "bad checksum of a private chunk.png": Sent(lambda: with_bad_checksum(png(), b"prVt", b"xxxx")),
    "short pHYs.png": Sent(lambda: insert_chunk(png(), b"pHYs", b"\x00")),
    "short cHRM.png": Sent(lambda: insert_chunk(png(), b"cHRM", b"\x00" * 4)),
    "unknown zTXt method.png": Sent(lambda: insert_chunk(png(), b"zTXt", b"Comment\x00\x01abc")),
    "two megabytes of profile.png": Sent(lambda: file_of("PNG", photo(), icc_profile=big_profile())),
    "a workflow over a megabyte.png": Sent(lambda: zipped_text("workflow", GRAPH), tags=("comfyui",)),
    "an XMP over a megabyte.png": Sent(
        lambda: png_text("XML:com.adobe.xmp", LONG_XMP, international=True, zipped=True, image=photo())
    ),
    # Animations.
    "a hidden default image.png": Sent(
        lambda: animation("PNG", grey(), photo(), [1000], default_image=True), frames=1, browser=SHOWN
    ),
    "grey for 20 ms.gif": Sent(lambda: animation("GIF", grey(), photo(), [20, 60_000]), frames=1),
    "grey for 20 ms.webp": Sent(lambda: animation("WEBP", grey(), photo(), [20, 60_000], quality=90), frames=1),
    "grey for 20 ms.png": Sent(lambda: animation("PNG", grey(), photo(), [20, 60_000]), frames=1),
    # Chromium draws the frames of an AVIF animation in coarser colours than its stills.
    "grey for 20 ms.avif": Sent(lambda: animation("AVIF", grey(), photo(), [20, 60_000]), frames=1, browser=NOT_SHOWN),
    "a sequence.heic": Sent(heic_sequence, browser=NOT_SHOWN),
    "a broken animation.png": Sent(lambda: insert_chunk(png(), b"acTL", struct.pack(">II", 3, 0)), browser=NOT_SHOWN),
    "a frame smaller than the canvas.gif": Sent(small_gif_frame),
    # Bitmaps.
    # Opaque for most viewers; Chromium 156 shows nothing of them.
    "alpha of zeros, version 4.bmp": Sent(lambda: bmp32(0, header=108), browser=NOT_SHOWN),
    "alpha of zeros, version 5.bmp": Sent(lambda: bmp32(0, header=124), browser=NOT_SHOWN),
    "opaque alpha.bmp": Sent(lambda: bmp32(255, header=108)),
    "five, six and five bits.bmp": Sent(lambda: bmp16(5, 6, 5)),
    "three times five bits.bmp": Sent(lambda: bmp16(5, 5, 5)),
    "three times four bits.bmp": Sent(lambda: bmp16(4, 4, 4)),
    "OS/2.bmp": Sent(os2),
    # Transparency and orientation.
    "16-bit grey with a transparent value.png": Sent(grey16_with_transparency),
    "transparent.png": Sent(lambda: file_of("PNG", Image.merge("RGBA", (*photo().split(), photo().split()[0])))),
    "transparent.webp": Sent(
        lambda: file_of("WEBP", Image.merge("RGBA", (*photo().split(), photo().split()[0])), lossless=True)
    ),
    "orientation in EXIF.jpg": Sent(lambda: file_of("JPEG", photo(), exif=oriented(), **JPEG)),
    "orientation in XMP alone.jpg": Sent(lambda: file_of("JPEG", photo(), xmp=xmp_of("tiff:Orientation", "6"), **JPEG)),
    "orientation in XMP alone.png": Sent(
        lambda: png_text("XML:com.adobe.xmp", xmp_of("tiff:Orientation", "6").decode(), image=photo())
    ),
    # Colour.
    "Display P3.jpg": Sent(lambda: file_of("JPEG", photo(), icc_profile=P3, **JPEG)),
    "Display P3.png": Sent(lambda: file_of("PNG", photo(), icc_profile=P3)),
    "Display P3.webp": Sent(lambda: file_of("WEBP", photo(), icc_profile=P3, lossless=True)),
    "Display P3.avif": Sent(lambda: with_code_points(12, 13)),
    "CMYK.jpg": Sent(lambda: file_of("JPEG", photo().convert("CMYK"), **JPEG)),
    "CMYK with a profile.jpg": Sent(
        lambda: file_of("JPEG", photo().convert("CMYK"), icc_profile=cmyk_profile(), **JPEG)
    ),
    "PQ.avif": Sent(lambda: with_code_points(9, 16)),
    "HLG.avif": Sent(lambda: with_code_points(9, 18)),
    "PQ.png": Sent(lambda: insert_chunk(png(), b"cICP", bytes((9, 16, 0, 1)))),
    "HLG.png": Sent(lambda: insert_chunk(png(), b"cICP", bytes((9, 18, 0, 1)))),
    "BT.2020.png": Sent(lambda: insert_chunk(png(), b"cICP", bytes((9, 14, 0, 1)))),
    "linear gAMA.png": Sent(lambda: insert_chunk(png(), b"gAMA", struct.pack(">I", 100_000))),
    "usual gAMA.png": Sent(lambda: insert_chunk(png(), b"gAMA", struct.pack(">I", 45_455))),
    "gAMA and cHRM.png": Sent(
        lambda: insert_chunk(insert_chunk(png(), b"gAMA", struct.pack(">I", 45_455)), b"cHRM", chromaticities())
    ),
    # Declarations.
    "TC260 in a text.png": Sent(lambda: png_text("AIGC", made.AIGC, image=photo()), tags=("tc260",)),
    "TC260 in XMP.jpg": Sent(
        lambda: file_of("JPEG", photo(), xmp=xmp_of("TC260:AIGC", made.AIGC), **JPEG), tags=("tc260",)
    ),
    "TC260 in EXIF.jpg": Sent(
        lambda: file_of("JPEG", photo(), exif=exif_of("UserComment", '{"AIGC": ' + made.AIGC + "}"), **JPEG),
        tags=("tc260",),
    ),
    "SwarmUI.png": Sent(lambda: png_text("parameters", made.SWARM, image=photo()), tags=("swarmui",)),
    "SD.Next.png": Sent(lambda: png_text("parameters", made.SDNEXT, image=photo()), tags=("sdnext",)),
    "ComfyUI.webp": Sent(
        lambda: file_of("WEBP", photo(), exif=exif_of("Model", "prompt:" + made.GRAPH)), tags=("comfyui",)
    ),
    "ComfyUI.avif": Sent(lambda: file_of("AVIF", photo(), xmp=xmp_of("comfy:prompt", made.GRAPH)), tags=("comfyui",)),
    "NovelAI's alpha.png": Sent(lambda: made.stealth(made.NOVELAI), tags=("novelai",)),
    "Samsung's trailer.jpg": Sent(
        lambda: file_of("JPEG", photo(), **JPEG) + b'PhotoEditor_Re_Edit_Data{"genAIType":1}', tags=("samsung_genai",)
    ),
    "Google's credit.jpg": Sent(
        lambda: file_of("JPEG", photo(), xmp=xmp_of("photoshop:Credit", "Made with Google AI"), **JPEG),
        tags=("google_ai",),
    ),
    "a news caption.jpg": Sent(
        lambda: file_of("JPEG", photo(), xmp=xmp_of("dc:description", "Artists suing Midjourney in court"), **JPEG)
    ),
    # No pictures.
    "nothing.jpg": Sent(lambda: b"", Reason.UNDECODABLE, browser=NOT_SHOWN),
    "a page.jpg": Sent(lambda: b"<!DOCTYPE html><html></html>", Reason.UNSUPPORTED_TYPE, browser=NOT_SHOWN),
}
