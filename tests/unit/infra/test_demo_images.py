from pathlib import Path

from PIL import Image

from infra.demo_images import DECLARATION, as_jpeg, own_images, photographs
from worker.provenance.findings import Manifest
from worker.provenance.reading import read_provenance


def no_manifest(_data: bytes) -> Manifest:
    raise AssertionError("this file has no trace of a manifest")


def test_a_declared_picture_says_strongly_that_a_model_made_it() -> None:
    declaration = read_provenance(as_jpeg(Image.new("RGB", (64, 64)), xmp=DECLARATION), no_manifest).declaration
    assert declaration is not None
    assert declaration.strong


def test_installed_packages_carry_eight_photographs() -> None:
    assert len(photographs()) == 8
    assert all(len(photograph.data) > 1000 for photograph in photographs())


def test_a_folder_of_the_users_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_bytes(b"not an image, and no matter")
    (tmp_path / "a b+ü%.jpg").write_bytes(b"a")
    assert [(image.name, image.data) for image in own_images(tmp_path)] == [
        ("a b+ü%.jpg", b"a"),
        ("sub/b.txt", b"not an image, and no matter"),
    ]
