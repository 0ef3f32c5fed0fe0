"""How files that a decoder refuses become what browsers take."""

from worker.images.mend import mend


def test_an_animation_under_a_foreign_brand_stays_an_animation() -> None:
    def file(brand: bytes, *compatible: bytes) -> bytes:
        body = b"ftyp" + brand + bytes(4) + b"".join(compatible)
        return (4 + len(body)).to_bytes(4, "big") + body

    for compatible, expected in (((b"avif",), b"avif"), ((b"avif", b"avis"), b"avis"), ((b"avis",), b"avis")):
        mended = mend(file(b"mif3", *compatible), 1_000_000)
        assert mended is not None
        assert mended.data[8:12] == expected
