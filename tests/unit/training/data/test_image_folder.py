"""Trees and tables as people download them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from training.data.collection import DataError, left_out_lines
from training.data.image_folder import open_collection

Tree = Callable[..., Path]


def seen(root: Path) -> dict[str, tuple[int, str, str, str]]:
    return {e.name: (e.label, e.source, e.generator, e.part) for e in open_collection(root).entries}


def test_kaggles_cifake_tree_brings_its_parts(tree: Tree) -> None:
    root = tree("train/REAL/0001 (2).jpg", "train/FAKE/0001.jpg", "test/REAL/0002.jpg", "test/FAKE/0002.jpg")
    assert seen(root) == {
        "train/REAL/0001 (2).jpg": (0, "collection", "real", "training"),
        "train/FAKE/0001.jpg": (1, "collection", "unknown", "training"),
        "test/REAL/0002.jpg": (0, "collection", "real", "test"),
        "test/FAKE/0002.jpg": (1, "collection", "unknown", "test"),
    }


def test_face_sets_nest_their_classes_below_a_name_that_says_both(tree: Tree) -> None:
    root = tree("real_vs_fake/real-vs-fake/valid/fake/a.jpg", "real_vs_fake/real-vs-fake/train/real/b.jpg")
    assert [(label, part) for label, _, _, part in sorted(seen(root).values())][::-1] == [
        (1, "validation"),
        (0, "training"),
    ]


def test_generators_above_or_below_the_class_are_kept_apart_as_sources(tree: Tree) -> None:
    root = tree("midjourney/train/ai/a.png", "midjourney/train/nature/b.png", "fake/sdxl/c.png", "training_real/d.png")
    assert seen(root) == {
        "midjourney/train/ai/a.png": (1, "midjourney", "midjourney", "training"),
        "midjourney/train/nature/b.png": (0, "midjourney", "real", "training"),
        "fake/sdxl/c.png": (1, "collection", "sdxl", ""),
        "training_real/d.png": (0, "collection", "real", "training"),
    }


def test_a_source_whose_name_holds_a_class_word_keeps_its_name(tree: Tree) -> None:
    root = tree("krita_ai/ai/1.png", "dreambooth_photos/real/2.mpo", "cifake/real/3.png")
    assert [(e.label, e.source) for e in open_collection(root).entries] == [
        (0, "cifake"),
        (0, "dreambooth_photos"),
        (1, "krita_ai"),
    ]


def test_a_table_names_files_and_classes_and_a_table_without_labels_is_left_out(tree: Tree) -> None:
    root = tree("train_data/a.jpg", "train_data/b.jpg", "test_data_v2/c.jpg")
    (root / "train.csv").write_text(",file_name,label\n0,train_data/a.jpg,1\n1,train_data/b.jpg,0\n")
    (root / "test.csv").write_text("id\ntest_data_v2/c.jpg\n")
    assert seen(root) == {
        "train_data/a.jpg": (1, "collection", "unknown", "training"),
        "train_data/b.jpg": (0, "collection", "real", "training"),
    }
    assert len(open_collection(root / "train.csv").entries) == 2


def test_words_in_a_table_go_before_its_numbers(tree: Tree) -> None:
    root = tree("x/a.jpg", "x/b.jpg")
    (root / "all.csv").write_text("path,label,label_str\nx/a.jpg,1,real\nx/b.jpg,0,fake\n")
    assert {name: entry[0] for name, entry in seen(root).items()} == {"x/a.jpg": 0, "x/b.jpg": 1}


def test_bytes_come_in_the_order_that_was_chosen(tree: Tree, picture: Callable[..., bytes]) -> None:
    collection = open_collection(tree("real/a.jpg", "real/b.jpg", "fake/c.jpg"))
    assert [entry.name for entry in collection.entries] == ["fake/c.jpg", "real/a.jpg", "real/b.jpg"]
    assert [picture(2), picture(1)] == list(collection.read([0, 2]))


def test_the_stamp_changes_with_a_file(tree: Tree) -> None:
    root = tree("real/a.jpg", "fake/c.jpg")
    before = open_collection(root).stamp
    assert before == open_collection(root).stamp
    (root / "real/a.jpg").write_bytes(b"other")
    assert before != open_collection(root).stamp


@pytest.mark.parametrize("row", ["x/a.jpg,1,test,s", "x/a.jpg,1,train,t"])
def test_the_stamp_changes_with_what_a_table_says_of_a_file(tree: Tree, row: str) -> None:
    root = tree("x/a.jpg")
    (root / "all.csv").write_text("path,label,split,source\nx/a.jpg,1,train,s\n")
    before = open_collection(root).stamp
    (root / "all.csv").write_text(f"path,label,split,source\n{row}\n")
    assert before != open_collection(root).stamp


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_table_is_read_as_spreadsheets_write_it(tree: Tree, encoding: str) -> None:
    root = tree("x/a.jpg")
    (root / "all.csv").write_bytes("path,label,source\r\nx/a.jpg,1,Müller\r\n".encode(encoding))
    assert seen(root) == {"x/a.jpg": (1, "Müller", "unknown", "")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\nx/a.jpg\n", "line 2 has fewer columns"),
        ("path,label\n,1\n", "line 2 has fewer columns than the first, or names no file"),
        ("path,label\nx/a.jpg,1\0\n", "NUL"),
        (f"path,label,caption\nx/a.jpg,1,{'c' * 140_000}\n", "line 2 cannot be read.*field larger"),
    ],
)
def test_a_table_that_is_damaged_is_told_by_line(tree: Tree, text: str, message: str) -> None:
    root = tree("x/a.jpg")
    (root / "all.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        open_collection(root)


def test_what_might_have_been_a_picture_and_is_none_is_counted_with_the_reason(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree("real/a.jpg", "fake/b.jfif", "fake/locked.jpg", "fake/c.jp2", "loose.png", "real/.hidden", "notes.txt")
    (root / "real" / "album.png").mkdir()
    (root / "fake" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    monkeypatch.setattr(os, "access", lambda file, _: "locked" not in str(file))
    found = open_collection(root)
    assert [entry.name for entry in found.entries] == ["fake/b.jfif", "real/a.jpg"]
    assert found.left_out == {
        "not named as a picture": ("fake/c.jp2",),
        "a folder, not a file": ("real/album.png",),
        "a link to nothing": ("fake/gone.jpg",),
        "may not be read": ("fake/locked.jpg",),
        "no folder on the way names a class": ("loose.png",),
    }
    assert "left out 1 files (a link to nothing), such as fake/gone.jpg" in left_out_lines(found)


def test_a_file_that_is_gone_or_locked_by_the_time_it_is_read_has_no_bytes(tree: Tree) -> None:
    found = open_collection(root := tree("real/a.jpg", "fake/b.jpg"))
    (root / "fake/b.jpg").unlink()
    assert [len(data) > 0 for data in found.read([0, 1])] == [False, True]


def test_hidden_files_are_no_pictures(tree: Tree) -> None:
    root = tree("real/a.jpg", "real/._a.jpg", ".cache/fake/b.jpg", "fake/c.jpg")
    assert {"real/a.jpg", "fake/c.jpg"} == set(seen(root))


def test_what_cannot_be_read_says_what_to_do(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data wants a folder"):
        open_collection(tmp_path / "nowhere")
    root = tree("pictures/a.jpg")
    with pytest.raises(DataError, match=r"real/ and fake/.*1 pictures found"):
        open_collection(root)
    (root / "labels.csv").write_text("file_name,label\npictures/a.jpg,perhaps\n")
    with pytest.raises(DataError, match="'perhaps'"):
        open_collection(root)
    (root / "labels.csv").write_text("file_name,label\npictures/gone.jpg,1\n")
    with pytest.raises(DataError, match="1 of 1 files that the CSV names are missing"):
        open_collection(root)
    (root / "labels.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"no CSV in .* has labels"):
        open_collection(root)
    file = tmp_path / "not.parquet"
    file.write_bytes(b"text")
    with pytest.raises(DataError, match="no Parquet file"):
        open_collection(file)


def test_folders_that_name_both_classes_are_an_error(tree: Tree) -> None:
    with pytest.raises(DataError, match="names both classes"):
        open_collection(tree("fake/real/a.jpg"))
