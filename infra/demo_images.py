"""The pictures of the demo: photographs that installed packages carry, AI pictures of our own, and two bad files."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# Photographs in the wheels of scikit-learn and scikit-image; `expected` is what a person would say of them.
_PHOTOGRAPHS = (
    ("sklearn.datasets.images", ("china.jpg", "flower.jpg")),
    ("skimage.data", ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg", "camera.png")),
)
_AI_PICTURES, _DECLARED = 8, 2
# As large as uploads are: a verdict on several views is more certain. One that declares itself needs no looking at.
_AI_SIZE, _DECLARED_SIZE = 512, 256
# What generators write, and what the EU's AI Act asks of them: IPTC's source type, as XMP.
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
DECLARATION = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>'
).encode()


@dataclass(frozen=True)
class DemoImage:
    """A file of the demo.

    Attributes:
        name: its name in the bucket.
        data: its bytes.
        truth: what it is, for the table; never sent along.
    """

    name: str
    data: bytes
    truth: str


def own_images(folder: Path) -> Iterator[DemoImage]:
    """Yield every file of the user's folder, as it is."""
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        yield DemoImage(str(path.relative_to(folder)), path.read_bytes(), "")


def sample_images() -> Iterator[DemoImage]:
    """Yield the demo's own files: 8 photographs, 8 AI pictures (2 say so), a broken one, and one that is none."""
    yield from photographs()
    yield from ai_pictures()
    yield from bad_files()


def bad_files() -> list[DemoImage]:
    """Return a photograph that breaks off, and a page that is called a photograph."""
    return [
        DemoImage("bad/truncated.jpg", photographs()[0].data[:20_000], "truncated file"),
        DemoImage("bad/not an image+.jpg", b"<html>This is no image.</html>", "no image"),
    ]


def photographs() -> list[DemoImage]:
    """Return the photographs that installed packages carry."""
    return [
        DemoImage(f"photographs/{name}", (files(package) / name).read_bytes(), "photograph")
        for package, names in _PHOTOGRAPHS
        for name in names
    ]


def ai_pictures(count: int = _AI_PICTURES, size: int = _AI_SIZE) -> Iterator[DemoImage]:
    """Yield the demo's first AI pictures, each as :func:`ai_picture` gives it."""
    yield from (ai_picture(seed, size) for seed in range(count))


def ai_picture(seed: int, size: int = _AI_SIZE) -> DemoImage:
    """Return a picture by Assay's own small diffusion model, drawn now, as a JPEG; the last two of eight declare it.

    Args:
        seed: which one, from 0.
        size: side in pixels of one that declares nothing.
    """
    from training.generator.draw import generate  # torch takes seconds to import

    says_so = seed >= _AI_PICTURES - _DECLARED
    picture = generate(seed, _DECLARED_SIZE if says_so else size)
    data = as_jpeg(picture, xmp=DECLARATION if says_so else b"")
    return DemoImage(f"generated/{'declared' if says_so else 'dream'}-{seed}.jpg", data, "AI-generated")


def as_jpeg(image: "Image.Image", quality: int = 92, xmp: bytes = b"") -> bytes:
    """Return an image as the bytes of a JPEG file, with an XMP packet if there is one."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality, xmp=xmp)
    return encoded.getvalue()
