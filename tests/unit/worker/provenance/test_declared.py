"""What a file declares of its own origin without a signature, wherever in it the words stand."""

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from worker.provenance.findings import Manifest, Provenance, SignatureState
from worker.provenance.reading import read_provenance

IPTC = b'<Iptc4xmpExt:DigitalSourceType rdf:resource="http://cv.iptc.org/newscodes/digitalsourcetype/%s"/>'
DECLARATIONS = {
    "stable_diffusion_webui": b"parameters\x00a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7",
    "comfyui": b'prompt\x00{"3": {"class_type": "KSampler", "inputs": {}}}',
    "invokeai": b"invokeai_metadata\x00{}",
    "novelai": b"Software\x00NovelAI",
    "fooocus": b"fooocus_scheme\x00fooocus",
    "midjourney": b"Description\x00a cat --v 6 Job ID: 01234567-89ab-cdef-0123-456789abcdef",
    "dall_e": "Made with DALL·E 3".encode(),
    "firefly": b'xmp:CreatorTool="Adobe Firefly 1.0"',
    "google_ai": b"<photoshop:Credit>Made with Google AI</photoshop:Credit>",
    "iptc:trainedAlgorithmicMedia": IPTC % b"trainedAlgorithmicMedia",
    "iptc:compositeWithTrainedAlgorithmicMedia": IPTC % b"compositeWithTrainedAlgorithmicMedia",
    "iptc:compositeSynthetic": b'Iptc4xmpExt:DigitalSourceType="compositeSynthetic"',
}
PROMPT = "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"
GRAPH = '{"3": {"class_type": "CustomSampler//v2", "inputs": {}}}'
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType='
    b'"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/></rdf:RDF></x:xmpmeta>'
)


def no_manifest(_data: bytes) -> Manifest:
    raise AssertionError("this file has no trace of a manifest")


def read(data: bytes) -> Provenance:
    return read_provenance(data, no_manifest)


@pytest.mark.parametrize("tag", DECLARATIONS)
@pytest.mark.parametrize("where", ["front", "end", "end of a large file"])
def test_a_declaration_is_found(tag: str, where: str) -> None:
    padding = b"\x00" * (2_000_000 if where == "end of a large file" else 100)
    data = DECLARATIONS[tag] + padding if where == "front" else padding + DECLARATIONS[tag]
    assert read(data) == Provenance(tags=(tag,))


@pytest.mark.parametrize(
    "words",
    [b"", IPTC % b"digitalCapture", IPTC % b"algorithmicMedia", b"Software\x00Adobe Photoshop 26.0", b"Steps: many"],
)
def test_other_words_declare_nothing(words: bytes) -> None:
    assert read(words) == Provenance()
    assert not read(words).bars_clearing


def png(name: str, text: str, *, compressed: bool, international: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    if international:
        info.add_itxt(name, text, zip=compressed)
    else:
        info.add_text(name, text, zip=compressed)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


@pytest.mark.parametrize("international", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("name", "text", "tag"),
    [
        ("parameters", PROMPT, "stable_diffusion_webui"),
        ("prompt", GRAPH, "comfyui"),
        ("workflow", '{"last_node_id": 9, "nodes": []}', "comfyui"),
        ("invokeai_metadata", "{}", "invokeai"),
        ("Software", "NovelAI", "novelai"),
        ("fooocus_scheme", "a1111", "fooocus"),
    ],
)
def test_png_texts_of_every_kind_are_read(
    name: str, text: str, tag: str, *, compressed: bool, international: bool
) -> None:
    assert read(png(name, text, compressed=compressed, international=international)).tags == (tag,)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
def test_words_are_read_without_decoding_any_pixels(
    picture: Callable[..., bytes], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []  # a few hundred kilobytes may be gigabytes of pixels
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda opened: decoded.append(opened.format))
    read(picture(form))
    assert decoded == []


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_a_prompt_in_the_exif_comment_of_a_jpeg_is_read(picture: Callable[..., bytes], order: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[0x9286] = b"UNICODE\x00" + PROMPT.encode(order)
    data = picture("JPEG", exif=exif)
    assert b"Steps: 20" not in data
    assert read(data).tags == ("stable_diffusion_webui",)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_digital_source_type_in_xmp_is_read(picture: Callable[..., bytes], form: str) -> None:
    options: dict[str, object] = {"xmp": XMP}
    if form == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
        options = {"pnginfo": info}
    if form == "TIFF":
        options = {"tiffinfo": {700: XMP}}
    assert read(picture(form, **options)).tags == ("iptc:trainedAlgorithmicMedia",)


def test_camera_and_software_are_told_and_change_nothing(picture: Callable[..., bytes]) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Canon\x00", "EOS R5"
    exif[ExifTags.Base.Software] = "Photo\x00shop\n" + "x" * 500
    told = read(picture("JPEG", exif=exif))
    assert told.camera == "Canon EOS R5"
    assert told.software is not None
    assert told.software.isprintable()
    assert len(told.software) <= 120
    assert not told.declares_ai
    assert not told.bars_clearing


def test_words_in_the_middle_of_a_picture_s_pixels_declare_nothing(picture: Callable[..., bytes]) -> None:
    data = picture("JPEG")
    scan = data.index(b"\xff\xda") + 20
    padded = data[:scan] + b"\x00" * 70_000 + b"NovelAI" + b"\x00" * 600_000 + data[scan:]
    assert read(padded).tags == ()


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP"]),
)
def test_junk_raises_nothing(junk: bytes, head: bytes) -> None:
    read_provenance(head + junk, lambda _: Manifest(SignatureState.INVALID))


def test_what_is_stored_says_that_anybody_could_have_written_it() -> None:
    assert Provenance(tags=("comfyui",)).as_json() == {
        "declares_ai": True,
        "signed": False,
        "forgeable": True,
        "tags": ["comfyui"],
        "c2pa": None,
        "camera": None,
        "software": None,
        "declaration": None,
    }
