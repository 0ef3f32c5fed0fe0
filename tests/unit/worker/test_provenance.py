"""What a file declares of its own origin, wherever in it the words stand."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from worker.provenance import Provenance, read_provenance

IPTC = b'<Iptc4xmpExt:DigitalSourceType rdf:resource="http://cv.iptc.org/newscodes/digitalsourcetype/%s"/>'
DECLARATIONS = {
    "stable_diffusion_webui": b"parameters\x00a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7",
    "comfyui": b'prompt\x00{"3": {"class_type": "KSampler", "inputs": {}}}',
    "invokeai": b"invokeai_metadata\x00{}",
    "novelai": b"Software\x00NovelAI",
    "fooocus": b"fooocus_scheme\x00fooocus",
    "midjourney": b"Description\x00a cat --v 6 Job ID: 01234567-89ab-cdef-0123-456789abcdef",
    "dall_e": "Made with DALL·E 3".encode(),
    "iptc:trainedAlgorithmicMedia": IPTC % b"trainedAlgorithmicMedia",
    "iptc:compositeWithTrainedAlgorithmicMedia": IPTC % b"compositeWithTrainedAlgorithmicMedia",
}


@pytest.mark.parametrize("tag", DECLARATIONS)
@pytest.mark.parametrize("where", ["front", "end", "end of a large file"])
def test_a_declaration_is_found(tag: str, where: str) -> None:
    padding = b"\x00" * (2_000_000 if where == "end of a large file" else 100)
    data = DECLARATIONS[tag] + padding if where == "front" else padding + DECLARATIONS[tag]
    assert read_provenance(data) == Provenance(declares_ai=True, tags=(tag,))


def test_a_real_png_text_chunk_is_found() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)
    assert read_provenance(buffer.getvalue()).tags == ("stable_diffusion_webui",)


@pytest.mark.parametrize(
    "words",
    [b"", IPTC % b"digitalCapture", IPTC % b"algorithmicMedia", b"Software\x00Adobe Photoshop 26.0", b"Steps: many"],
)
def test_other_words_declare_nothing(words: bytes) -> None:
    assert read_provenance(words) == Provenance(declares_ai=False, tags=())


@given(st.binary(max_size=400))
def test_junk_raises_nothing(data: bytes) -> None:
    read_provenance(data)


def test_what_is_stored_says_that_nobody_signed_it() -> None:
    assert Provenance(declares_ai=True, tags=("comfyui",)).as_json() == {
        "declares_ai": True,
        "tags": ["comfyui"],
        "signed": False,
    }
