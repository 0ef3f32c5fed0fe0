"""A table of files as people really send them, each made here by the libraries that programs use.

Each row says how its scan ends, what it declares, and whether Chromium shows it, so that pixels can be compared.
"""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from tests import made_files as made
from tests.made_files import exif_of, file_of, insert_chunk, png_chunk, png_text, xmp_of
from worker.errors import Reason
from worker.images.cicp import matrix_profile
from worker.provenance.containers.isobmff import boxes

SIDE = 96
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


def photo(side: int = SIDE) -> Image.Image:
    """Return a picture of many colours and some texture; the same each time."""
    rng = np.random.default_rng(7)
    ramp = np.linspace(0, 255, side)
    planes = [np.add.outer(ramp * a, ramp * b) % 256 for a, b in ((0.5, 0.5), (0.9, 0.1), (0.2, 0.8))]
    noisy = np.stack(planes, -1) * 0.85 + rng.integers(0, 24, (side, side, 1))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def grey() -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), (120, 120, 120))


def png() -> bytes:
    return file_of("PNG", photo())


def with_bad_checksum(png: bytes, kind: bytes, body: bytes) -> bytes:
    at = png.index(b"IDAT") - 4
    return png[:at] + struct.pack(">I", len(body)) + kind + body + b"\x00\x00\x00\x00" + png[at:]


def cut(data: bytes, share: float) -> bytes:
    return data[: int(share * len(data))]


def big_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + b"\x00" * (2 << 20)
    return struct.pack(">I", len(profile)) + profile[4:]


def zipped_text(name: str, text: str) -> bytes:
    return png_text(name, text, zipped=True, image=photo())


def animation(form: str, first: Image.Image, then: Image.Image, milliseconds: list[int], **options: object) -> bytes:
    return file_of(form, first, save_all=True, append_images=[then], duration=milliseconds, loop=1, **options)


def heic_sequence() -> bytes:
    """Return a HEIC with a track of two pictures beside its own, as an AVIF animation has it."""
    moving = animation("AVIF", photo(), photo().rotate(180), [500, 500])
    track = next(moving[start - 8 : end] for kind, start, end in boxes(moving, 0, len(moving)) if kind == b"moov")
    return made.heic(photo()) + track


def mini_avif() -> bytes:
    """Return the head of an AVIF whose `meta` box is the short `mini` box of brand `mif3`."""
    return struct.pack(">I4s4s4s", 16, b"ftyp", b"mif3", b"avif") + struct.pack(">I4s", 40, b"mini") + b"\x05" * 32


def with_brand(data: bytes, brand: bytes) -> bytes:
    """Return an ISO base media file that names another brand first."""
    return data[:8] + brand + data[12:]


def bmp(bits: int, pixels: bytes, *, masks: tuple[int, ...] = (), header: int = 40) -> bytes:
    """Return a bitmap of SIDE by SIDE with its rows from below."""
    compression = 3 if masks else 0
    head = struct.pack("<IiiHHIIiiII", header, SIDE, SIDE, 1, bits, compression, len(pixels), 2835, 2835, 0, 0)
    if header > 40:
        head += struct.pack("<4I", *masks) + b"BGRs" + b"\x00" * (header - 60)
    elif masks:
        head += struct.pack("<3I", *masks[:3])
    start = 14 + len(head)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + pixels


def bmp32(alpha: int, **options: int) -> bytes:
    red, green, blue = photo().split()
    pixels = Image.merge("RGBA", (blue, green, red, Image.new("L", (SIDE, SIDE), alpha)))
    flipped = pixels.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes()
    return bmp(32, flipped, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000), **options)


def bmp16(red: int, green: int, blue: int) -> bytes:
    """Return a bitmap of 16 bits a pixel with so many bits of each colour."""
    pixels = np.asarray(photo().transpose(Image.Transpose.FLIP_TOP_BOTTOM)).astype(np.uint32)
    parts = [pixels[..., n] >> (8 - bits) for n, bits in enumerate((red, green, blue))]
    words = parts[0] << (green + blue) | parts[1] << blue | parts[2]
    masks = ((2**red - 1) << (green + blue), (2**green - 1) << blue, 2**blue - 1)
    return bmp(16, words.astype("<u2").tobytes(), masks=masks)


def os2() -> bytes:
    pixels = photo().transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    red, green, blue = pixels.split()
    body = Image.merge("RGB", (blue, green, red)).tobytes()
    head = struct.pack("<IHHHH", 12, SIDE, SIDE, 1, 24)
    return b"BM" + struct.pack("<IHHI", 26 + len(body), 0, 0, 26) + head + body


def grey16_with_transparency() -> bytes:
    rows = b"".join(b"\x00" + struct.pack(f">{SIDE}H", *([0] * 48 + [40_000] * 48)) for _ in range(SIDE))
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 16, 0, 0, 0, 0)) + png_chunk(b"tRNS", b"\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def small_gif_frame() -> bytes:
    """Return a GIF whose only frame is smaller than its canvas, whose background colour is blue."""
    small = file_of("GIF", photo(48).quantize(64), interlace=0)
    return small[:6] + struct.pack("<HH", SIDE, SIDE) + small[10:11] + b"\x05" + small[12:]


def with_code_points(primaries: int, transfer: int) -> bytes:
    """Return an AVIF that says so of its colours."""
    data = file_of("AVIF", photo(), quality=95, subsampling="4:4:4")
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def cmyk_profile() -> bytes:
    """Return an output profile of CMYK that darkens what no profile would show: a table of 2x2x2x2 colours in Lab."""
    lab = []
    for number in range(16):
        ink = [number >> 3 & 1, number >> 2 & 1, number >> 1 & 1, number & 1]
        light = 100 * (1 - ink[3]) * (1 - 0.35 * ink[0]) * (1 - 0.45 * ink[1]) * (1 - 0.1 * ink[2])
        a, b = 50 * (ink[1] - ink[0]) * (1 - ink[3]), (60 * ink[2] - 40 * ink[0] - 10 * ink[1]) * (1 - ink[3])
        lab += [round(light * 652.8), round((a + 128) * 256), round((b + 128) * 256)]
    table = b"mft2\x00\x00\x00\x00" + struct.pack(
        ">BBBB9iHH", 4, 3, 2, 0, *[65536, 0, 0, 0, 65536, 0, 0, 0, 65536], 2, 2
    )
    table += struct.pack(">8H", *[0, 65535] * 4) + struct.pack(">48H", *lab) + struct.pack(">6H", *[0, 65535] * 3)
    white = b"XYZ \x00\x00\x00\x00" + struct.pack(">3i", 63190, 65536, 54061)
    start = 128 + 4 + 24
    head = struct.pack(
        ">I4sI4s4s4s", start + len(white) + len(table), b"\x00" * 4, 0x02100000, b"prtr", b"CMYK", b"Lab "
    )
    head += b"\x00" * 12 + b"acsp" + b"\x00" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", start, len(white), b"A2B0", start + len(white), len(table))
    return head.ljust(128, b"\x00") + tags + white + table


def chromaticities() -> bytes:
    return struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


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


def oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()
