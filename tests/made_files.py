"""Files with words in them, written by the libraries that people's programs use: one writer for each place."""

import binascii
import io
import json
import struct
import zlib
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, PngImagePlugin

USER_COMMENT, MAKER_NOTE = 0x9286, 0x927C
EXIF_FIELDS = {"Software": 0x0131, "ImageDescription": 0x010E, "Artist": 0x013B, "Make": 0x010F, "Model": 0x0110}
NAMESPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
    "comfy": "urn:comfyui",
}


def texture(side: int = 64) -> Image.Image:
    return Image.radial_gradient("L").resize((side, side)).convert("RGB")


def file_of(form: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or texture()).save(buffer, form, **options)
    return buffer.getvalue()


def heic(image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image or texture()).save(buffer, quality=90, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def insert_chunk(png: bytes, kind: bytes, body: bytes, *, before: bytes = b"IDAT") -> bytes:
    at = png.index(before) - 4
    return png[:at] + png_chunk(kind, body) + png[at:]


def png_text(
    name: str, value: str, *, zipped: bool = False, international: bool = False, image: Image.Image | None = None
) -> bytes:
    info = PngImagePlugin.PngInfo()
    (info.add_itxt if international else info.add_text)(name, value, zip=zipped)
    return file_of("PNG", image, pnginfo=info)


def exif_of(field: str, value: str | bytes, *, encoding: str = "ascii") -> bytes:
    """Return an EXIF block with one field; comments take the encodings that EXIF knows."""
    exif = Image.Exif()
    if field in EXIF_FIELDS:
        exif[EXIF_FIELDS[field]] = value
    else:
        head = b"ASCII\x00\x00\x00" if encoding == "ascii" else b"UNICODE\x00"
        raw = value if isinstance(value, bytes) else value.encode("utf-8" if encoding == "ascii" else encoding)
        tag = MAKER_NOTE if field == "MakerNote" else USER_COMMENT
        exif.get_ifd(ExifTags.IFD.Exif)[tag] = raw if field == "MakerNote" else head + raw
    return exif.tobytes()


def xmp_of(name: str, value: str, *, element: bool = False) -> bytes:
    """Return an XMP packet with one property, as an attribute or as an element."""
    spaces = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in NAMESPACES.items())
    body = f"><{name}>{escape(value)}</{name}></rdf:Description>" if element else f' {name}="{escape(value)}"/>'
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'{spaces}{body}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def iim_of(dataset: int, value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">BBBH", 0x1C, 2, dataset, len(raw)) + raw


def photoshop_of(iim: bytes) -> bytes:
    return b"8BIM\x04\x04\x00\x00" + struct.pack(">I", len(iim)) + iim + b"\x00" * (len(iim) % 2)


def raw_profile(kind: str, body: bytes) -> str:
    return f"\n{kind}\n{len(body):8}\n{binascii.hexlify(body).decode()}\n"


def jpeg_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def extended_xmp(packet: bytes) -> bytes:
    """Return a JPEG whose XMP stands in two segments of an extension, the second one first."""
    half, name = len(packet) // 2, b"http://ns.adobe.com/xmp/extension/\x00"
    guid = b"0123456789ABCDEF0123456789ABCDEF"
    jpeg = file_of("JPEG")
    for at, part in ((half, packet[half:]), (0, packet[:half])):
        jpeg = jpeg_segment(jpeg, 0xE1, name + guid + struct.pack(">II", len(packet), at) + part)
    return jpeg


def gif_xmp(packet: bytes) -> bytes:
    gif = file_of("GIF")
    at = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    lead = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
    return gif[:at] + b"\x21\xff\x0bXMP DataXMP" + packet + lead + gif[at:]


def stealth(text: str, form: str = "PNG", *, zipped: bool = True, side: int = 256) -> bytes:
    """Return a picture that hides a text in its alpha channel, as NovelAI's do."""
    import gzip  # noqa: PLC0415

    body = gzip.compress(text.encode()) if zipped else text.encode()
    hidden = (b"stealth_pngcomp" if zipped else b"stealth_pnginfo") + struct.pack(">I", 8 * len(body)) + body
    bits = np.unpackbits(np.frombuffer(hidden, np.uint8))
    alpha = np.full(side * side, 255, np.uint8)
    alpha[: len(bits)] = 254 | bits
    image = texture(side)
    image.putalpha(Image.fromarray(alpha.reshape(side, side).T.copy()))
    return file_of(form, image, **({"lossless": True, "exact": True} if form == "WEBP" else {}))


# Writes a property of XMP into each container that can hold it.
XMP_WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": lambda packet: file_of("JPEG", xmp=packet),
    "extended XMP of a JPEG": extended_xmp,
    "PNG": lambda packet: png_text("XML:com.adobe.xmp", packet.decode(), international=True),
    "compressed in a PNG": lambda packet: png_text(
        "XML:com.adobe.xmp", packet.decode(), international=True, zipped=True
    ),
    "raw profile of a PNG": lambda packet: png_text("Raw profile type xmp", raw_profile("xmp", packet), zipped=True),
    "WebP": lambda packet: file_of("WEBP", xmp=packet),
    "AVIF": lambda packet: file_of("AVIF", xmp=packet),
    "HEIC": lambda packet: heic(xmp=packet),
    "TIFF": lambda packet: file_of("TIFF", tiffinfo={700: packet}),
    "GIF": gif_xmp,
    "UTF-16 in a JPEG": lambda packet: file_of("JPEG", xmp=packet.decode().encode("utf-16")),
}
# Writes a block of EXIF into each container that can hold it.
EXIF_WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": lambda exif: file_of("JPEG", exif=exif),
    "PNG": lambda exif: file_of("PNG", exif=exif),
    "behind the pixels of a PNG": lambda exif: insert_chunk(
        file_of("PNG"), b"eXIf", exif.removeprefix(b"Exif\x00\x00"), before=b"IEND"
    ),
    "raw profile of a PNG": lambda exif: png_text("Raw profile type exif", raw_profile("exif", exif), zipped=True),
    "WebP": lambda exif: file_of("WEBP", exif=exif),
    "AVIF": lambda exif: file_of("AVIF", exif=exif),
    "HEIC": lambda exif: heic(exif=exif),
    "TIFF": lambda exif: file_of("TIFF", exif=exif),
}
# Writes a record of IPTC into each container that can hold it.
IIM_WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": lambda iim: jpeg_segment(file_of("JPEG"), 0xED, b"Photoshop 3.0\x00" + photoshop_of(iim)),
    "raw profile of a PNG": lambda iim: png_text(
        "Raw profile type iptc", raw_profile("iptc", photoshop_of(iim)), zipped=True
    ),
    "bare in a raw profile of a PNG": lambda iim: png_text("Raw profile type iptc", raw_profile("iptc", iim)),
    "TIFF": lambda iim: file_of("TIFF", tiffinfo={33723: iim}),
    "Photoshop's field of a TIFF": lambda iim: file_of("TIFF", tiffinfo={34377: photoshop_of(iim)}),
}
# Writes a text under a name, or as it is, into each container that has room for texts.
TEXT_WRITERS: dict[str, Callable[[str, str], bytes]] = {
    "PNG tEXt": png_text,
    "PNG zTXt": lambda name, value: png_text(name, value, zipped=True),
    "PNG iTXt": lambda name, value: png_text(name, value, international=True),
    "compressed PNG iTXt": lambda name, value: png_text(name, value, international=True, zipped=True),
    "behind the pixels of a PNG": lambda name, value: insert_chunk(
        file_of("PNG"), b"tEXt", name.encode() + b"\x00" + value.encode(), before=b"IEND"
    ),
}

PARAMETERS = "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
SDNEXT = (
    "a cat\nSteps: 20, Size: 1024x1024, Sampler: DPM++ 2M, Seed: 1, CFG scale: 6, Model: x, App: SD.Next, Version: abc"
)
GRAPH = json.dumps({"3": {"class_type": "KSampler", "inputs": {"seed": 1}}})
WORKFLOW = json.dumps({"last_node_id": 9, "nodes": [{"id": 1, "type": "WanVideoSampler"}]})
SWARM = json.dumps({"sui_image_params": {"prompt": "a cat", "steps": 20, "swarm_version": "0.9.6"}}, indent=2)
LABEL = {"Label": "1", "ContentProducer": "001000000000EXAMPLE0000000", "ProduceID": "x", "ReservedCode1": ""}
AIGC = json.dumps(LABEL)
DREAM = '"a cat" -s 50 -S 1234 -W 512 -H 512 -C 7.5 -A k_lms'
DRAW_THINGS = json.dumps({"c": "a cat", "model": "x.ckpt", "sampler": "Euler A", "scale": 4.5, "seed": 7, "steps": 8})
EASY_DIFFUSION = json.dumps(
    {"prompt": "a cat", "seed": 1, "num_inference_steps": 25, "guidance_scale": 7.5, "sampler_name": "euler_a"}
)
NOVELAI = json.dumps(
    {
        "Software": "NovelAI",
        "Source": "NovelAI Diffusion V4 37442FCA",
        "Comment": json.dumps({"steps": 28, "sampler": "k_euler", "seed": 1, "uc": "lowres"}),
    }
)
JOB = "a cat --v 6 Job ID: 01234567-89ab-cdef-0123-456789abcdef"
GROK_SIGNATURE, GROK_ARTIST = "Signature: " + "A" * 344, "00000000-0000-4000-8000-000000000000"
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
