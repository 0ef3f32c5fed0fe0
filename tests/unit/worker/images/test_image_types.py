import pytest

from worker.images.image_types import TYPES, image_type, why_no_image

IMAGES = {
    b"\xff\xd8\xff\xe0\x00\x10JFIF": "image/jpeg",
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"RIFF\x24\x00\x00\x00WEBPVP8 ": "image/webp",
    b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00": "image/bmp",
    b"II*\x00\x08\x00": "image/tiff",
    b"MM\x00*\x00\x08": "image/tiff",
    b"\x00\x00\x01\x00\x01\x00": "image/vnd.microsoft.icon",
    b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic": "image/heic",
    b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1": "image/avif",
    b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avif": "image/avif",
    b"\x00\x00\x00\x1cftypmif3\x00\x00\x00\x00mif3avif": "image/avif",
}
OTHERS = [
    b"",
    b"\xff\xd8",
    b"BM",
    b"BMW is a car",
    b"%PDF-1.7",
    b"<svg xmlns='http://www.w3.org/2000/svg'>",
    b"RIFF\x24\x00\x00\x00WAVEfmt ",
    b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42",
    b"\xff\xff\xff\xffftyp",
]


@pytest.mark.parametrize(("head", "media_type"), IMAGES.items())
def test_an_image_is_known_by_its_first_bytes(head: bytes, media_type: str) -> None:
    found = image_type(head)
    assert found is not None
    assert media_type == found.media_type


def test_what_is_told_of_is_what_is_taken() -> None:
    assert {one.media_type for one in TYPES} == set(IMAGES.values())


@pytest.mark.parametrize("head", OTHERS)
def test_what_is_no_image_is_not_taken_for_one(head: bytes) -> None:
    assert image_type(head) is None


def test_what_is_refused_is_told_by_what_it_is() -> None:
    assert why_no_image(b"") == "the file is empty"
    assert "no image of a type that Assay knows: jpeg, png" in why_no_image(b"%PDF-1.7")
