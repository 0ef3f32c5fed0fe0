"""Files of too many parts are refused before anything is decoded, and pictures of many parts are not."""

import pytest
from PIL import Image, ImageFile

from infra.chaos.hostile_files import TOO_COMPLEX, TOO_MANY_PIXELS, chunk, file_of, png
from worker.decoders.look import look_at
from worker.errors import PermanentError, Reason
from worker.images.complexity import check_complexity, check_size
from worker.images.views import ViewPlan

BOMBS = {
    **{kind: (make, Reason.TOO_COMPLEX) for kind, make in TOO_COMPLEX.items()},
    **{kind: (make, Reason.TOO_MANY_PIXELS) for kind, make in TOO_MANY_PIXELS.items()},
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_before_any_pixel_is_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, reason = BOMBS[kind]
    data = make()
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _image: pytest.fail("decoded"))
    if reason is Reason.TOO_COMPLEX:
        monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(PermanentError) as refused:
        look_at(data, {"clip": ViewPlan(64, 0, 3)}, max_pixels=50_000_000)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    "data",
    [
        file_of(Image.effect_noise((640, 480), 50), "JPEG", progressive=True),
        file_of(Image.effect_noise((640, 480), 50), "JPEG", icc_profile=b"\xff" * 4_000_000),
        file_of(Image.effect_noise((640, 480), 50), "JPEG", restart_marker_rows=1),
        file_of(Image.effect_noise((64, 2000), 50), "TIFF", tiffinfo={278: 1}),
        file_of(Image.effect_noise((64, 64), 50), "WEBP"),
        png(1, 8000, *[chunk(b"IDAT", part) for part in (b"x",) * 8000]),
        file_of(Image.new("L", (64, 64)), "JPEG") + b"\xff" * 1_000_000,
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n\x00",
        b"II*\x00\xff\xff\xff\xff",
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        b"\x00\x00\x00\x00ftypavif",
        b"\x00\x00\x00\x01ftypavif" + b"\xff" * 12,  # a box of 2^64 bytes, and a directory there
        b"II+\x00\x08\x00\x00\x00" + b"\xff" * 8,
    ],
    ids=lambda data: f"{bytes(data[:4])!r} {len(data)}",
)
def test_pictures_of_many_parts_and_damaged_ones_are_left_to_the_decoder(data: bytes) -> None:
    check_complexity(data)


@pytest.mark.parametrize(("size", "file_bytes"), [((65_535, 700), 1_000_000), ((7000, 5000), 900), ((4000, 4000), 60)])
def test_long_plain_and_small_canvases_pass(size: tuple[int, int], file_bytes: int) -> None:
    check_size(size, file_bytes)
