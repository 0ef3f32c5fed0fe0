from pathlib import Path

from infra.demo_images import own_images, photographs


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
