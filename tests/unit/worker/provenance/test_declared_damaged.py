"""What damaged files, pixels and junk declare of their origin: what only tools write, or nothing."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.made_files import JOB, PARAMETERS, exif_of, heic, png_text
from worker.provenance.findings import Manifest, Provenance, SignatureState
from worker.provenance.reading import read_provenance


def no_manifest(_data: bytes) -> Manifest:
    raise AssertionError("this file has no trace of a manifest")


def read(data: bytes) -> Provenance:
    return read_provenance(data, no_manifest)


IPTC = b'<Iptc4xmpExt:DigitalSourceType rdf:resource="http://cv.iptc.org/newscodes/digitalsourcetype/%s"/>'
DAMAGED = {
    "stable_diffusion_webui": b"parameters\x00a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7",
    "comfyui": b'prompt\x00{"3": {"class_type": "KSampler", "inputs": {}}}',
    "midjourney": b"Description\x00a cat --v 6 Job ID: 01234567-89ab-cdef-0123-456789abcdef",
    "iptc:trainedAlgorithmicMedia": IPTC % b"trainedAlgorithmicMedia",
    "iptc:compositeWithTrainedAlgorithmicMedia": IPTC % b"compositeWithTrainedAlgorithmicMedia",
    "tc260": b'AIGC\x00\x01{"Label":"1","ContentProducer":"x"}'.replace(b"\x00\x01", b" "),
}


@pytest.mark.parametrize("tag", DAMAGED)
@pytest.mark.parametrize("where", ["front", "end", "end of a large file"])
def test_forms_that_only_tools_write_are_found_in_damaged_files_and_decide_nothing(tag: str, where: str) -> None:
    padding = b"\x00" * (2_000_000 if where == "end of a large file" else 100)
    provenance = read(DAMAGED[tag] + padding if where == "front" else padding + DAMAGED[tag])
    assert (provenance.tags, provenance.bars_clearing) == ((tag,), True)
    assert provenance.declaration is not None
    assert not provenance.declaration.strong


def test_words_in_the_middle_of_a_picture_s_pixels_declare_nothing(picture: Callable[..., bytes]) -> None:
    data = picture("JPEG")
    scan = data.index(b"\xff\xda") + 20
    padded = data[:scan] + b"\x00" * 70_000 + JOB.encode() + b"\x00" * 600_000 + data[scan:]
    assert read(padded).tags == ()


@given(
    st.binary(max_size=400),
    st.sampled_from(
        [
            *(b"", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP", b"GIF89a", b"II*\x00"),
            b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00avifmif1\x00\x00\x00\x64meta\x00\x00\x00\x00",
        ]
    ),
)
def test_junk_raises_nothing(junk: bytes, head: bytes) -> None:
    read_provenance(head + junk, lambda _: Manifest(SignatureState.TAMPERED))


@pytest.mark.filterwarnings("ignore")
@given(
    st.sampled_from([png_text("parameters", PARAMETERS), heic(exif=exif_of("UserComment", PARAMETERS))]),
    st.floats(0, 1),
    st.binary(min_size=1, max_size=4),
)
def test_damage_anywhere_raises_nothing(data: bytes, share: float, patch: bytes) -> None:
    at = int(share * (len(data) - len(patch)))
    read_provenance(data[:at] + patch + data[at + len(patch) :], lambda _: Manifest(SignatureState.TAMPERED))
