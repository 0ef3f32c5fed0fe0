"""Makes files that programs write and few decoders are tried with: odd bitmaps, brands, profiles, animations."""

import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

from tests import made_files as made
from tests.made_files import file_of, png_chunk, png_text
from worker.provenance.containers.isobmff import boxes

SIDE = 96


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


def oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()
