"""Pictures to arrays and a manifest."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.data.assemble import all_rows, load_manifest, load_rows, made_pictures, recipe_places
from training.data.collection import DataError, Entry, open_parquet, sample
from training.data.pixels import Shape
from training.recipe import Recipe

Picture = Callable[..., bytes]


def parquet(file: Path, images: Sequence[bytes], **columns: object) -> Path:
    pq.write_table(pa.table({"image": images, "label": [i % 2 for i in range(len(images))], **columns}), file)
    return file


def test_a_parquet_file_tells_what_it_knows_and_the_rest_is_filled_in(tmp_path: Path, picture: Picture) -> None:
    images = [picture(0), picture(1)]
    plain = open_parquet(parquet(tmp_path / "cifake-test.parquet", images))
    assert plain.entries == (
        Entry("cifake-test.parquet#0", 0, "cifake", "real", "test"),
        Entry("cifake-test.parquet#1", 1, "cifake", "unknown", "test"),
    )
    opened = open_parquet(parquet(tmp_path / "wild-0.parquet", images, source=["a", "b"], generator=["real", "sdxl"]))
    assert tuple(vars(opened.entries[1]).values()) == ("wild-0.parquet#1", 1, "b", "sdxl", "")
    assert [images[1]] == list(opened.read([1]))


def test_a_parquet_file_without_labels_is_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b""]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="needs the columns image"):
        open_parquet(tmp_path / "x.parquet")


def hugging_face(file: Path, images: Sequence[object], labels: Sequence[int], names: Sequence[str]) -> Path:
    """Write what `datasets` writes: a struct of bytes and path, and its features in the schema's metadata."""
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    structs = pa.array(
        [{"bytes": image, "path": f"{i}.jpg"} for i, image in enumerate(images)],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": structs, "label": pa.array(labels, pa.int64())})
    opened = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(opened), file)
    return file


def test_a_hugging_face_file_is_read_with_the_names_of_its_labels(tmp_path: Path, picture: Picture) -> None:
    images = [picture(0), picture(1), picture(2)]
    file = hugging_face(tmp_path / "train-00000-of-00001.parquet", images, [0, 1, 0], ["FAKE", "REAL"])
    found = open_parquet(file)
    assert [(entry.label, entry.generator) for entry in found.entries] == [(1, "unknown"), (0, "real"), (1, "unknown")]
    assert list(found.read([0, 2])) == [images[0], images[2]]
    assert load_rows([file], tmp_path / "c").labels.tolist() == [1, 0, 1]
    other = hugging_face(file, images, [0, 1, 0], ["REAL", "FAKE"])
    os.utime(other, ns=(0, 0))
    before = open_parquet(other)
    hugging_face(file, images, [0, 1, 0], ["FAKE", "REAL"])
    os.utime(file, ns=(0, 0))
    assert before.stamp != open_parquet(file).stamp


def test_a_data_set_as_it_lies_on_the_hub_is_found_and_is_one_source(tmp_path: Path, picture: Picture) -> None:
    images, data = [picture(0), picture(1)], tmp_path / "ai-or-not" / "data"
    data.mkdir(parents=True)
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        hugging_face(data / f"{name}.parquet", images, [0, 1], ["REAL", "FAKE"])
    recipe = Recipe(name="x", seed=0, augmentation="light", files=("own.parquet",), detectors=())
    places = recipe_places(recipe, data.parent, tmp_path / "cache")
    entries = [entry for place in places for entry in open_parquet(place).entries]
    assert {entry.source for entry in entries} == {"ai-or-not"}
    assert [entry.part for entry in entries] == ["test"] * 2 + ["training"] * 4


def test_a_folder_of_parquet_files_is_all_of_them_unless_the_recipe_has_files_of_its_own(
    tmp_path: Path, picture: Picture
) -> None:
    root, cache = tmp_path / "data", tmp_path / "c"
    root.mkdir()
    shards = [parquet(root / f"train-{i}.parquet", [picture(2 * i), picture(2 * i + 1)]) for i in range(2)]
    pq.write_table(pa.table({"notes": ["of other things"]}), root / "notes.parquet")
    recipe = Recipe(name="x", seed=0, augmentation="light", files=(), detectors=())
    assert recipe_places(recipe, root, cache) == shards
    assert len(all_rows(recipe, root, cache)) == 4
    assert recipe_places(replace(recipe, files=("train-1.parquet",)), root, cache) == shards[1:]
    assert recipe_places(recipe, shards[0], cache) == shards[:1]


def test_labels_are_words_or_numbers_and_others_are_told(tmp_path: Path, picture: Picture) -> None:
    file, images = tmp_path / "x.parquet", [picture(0), picture(1)]
    pq.write_table(pa.table({"image": images, "label": ["real", "AI-generated"]}), file)
    assert [entry.label for entry in open_parquet(file).entries] == [0, 1]
    pq.write_table(pa.table({"image": images, "label": [False, True]}), file)
    assert [entry.label for entry in open_parquet(file).entries] == [0, 1]
    pq.write_table(pa.table({"image": images, "label": [0, -1]}), file)
    with pytest.raises(DataError, match=r"x\.parquet: cannot tell the class of label -1; use 1 = AI-generated"):
        open_parquet(file)
    with pytest.raises(DataError, match="cannot tell the class of label 1, called 'cat'"):
        open_parquet(hugging_face(file, images, [0, 1], ["real", "cat"]))
    with pytest.raises(DataError, match="cannot tell the class of label 2"):
        open_parquet(hugging_face(file, images, [0, 2], ["real", "fake"]))


@pytest.mark.parametrize("value", [None, -1, 2, 0.4, float("nan"), "perhaps"])
def test_a_label_that_is_no_class_is_told_and_never_taken_for_one(
    tmp_path: Path, picture: Picture, value: object
) -> None:
    others = ["real", "fake"] if isinstance(value, str) else [0, 1]
    table = pa.table({"image": [picture(0), picture(1), picture(2)], "label": [*others, value]})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"cannot tell the class of label .*1 = AI-generated and 0 = not"):
        open_parquet(tmp_path / "x.parquet")


def test_numbers_are_names_too_and_parts_are_read_in_any_spelling(tmp_path: Path, picture: Picture) -> None:
    images = [picture(seed) for seed in range(6)]
    splits = ["Test", "val", "TRAIN", "held_out", None, "fold 3"]
    file = parquet(tmp_path / "x-test.parquet", images, name=range(6), source=[0, 1] * 3, split=splits)
    found = open_parquet(file).entries
    assert [entry.part for entry in found] == ["test", "validation", "training", "held_out", "test", ""]
    assert [(entry.name, entry.source) for entry in found[:2]] == [("0", "0"), ("1", "1")]
    assert load_rows([file], tmp_path / "c").sources.tolist() == ["0", "1"] * 3
    again = parquet(tmp_path / "y.parquet", images[:2], part=["Testing", ""], split=["train", "train"])
    assert [entry.part for entry in open_parquet(again).entries] == ["test", "training"]


@pytest.mark.parametrize("which", ["*.npy", "*.parquet"])
def test_a_damaged_cache_names_the_file_to_delete_and_is_made_anew_without_it(
    tmp_path: Path, picture: Picture, which: str
) -> None:
    file = parquet(tmp_path / "x.parquet", [picture(0), picture(1)])
    before = load_rows([file], tmp_path / "c").pixels.copy()
    (cut,) = (tmp_path / "c").glob(which)
    cut.write_bytes(cut.read_bytes()[:200])
    with pytest.raises(DataError, match=rf"{cut.name} is damaged .*; delete it"):
        load_rows([file], tmp_path / "c")
    cut.unlink()
    assert np.array_equal(load_rows([file], tmp_path / "c").pixels, before)


def test_nothing_is_made_of_a_kind_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing here makes 'drawing'; there are drawings, renderings and"):
        made_pictures("drawing", 1, tmp_path)


def test_data_in_which_nothing_decodes_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of 2 pictures could be read: x.parquet#0 \(not a JPEG"):
        load_rows([parquet(tmp_path / "x.parquet", [b"text", b"more"])], tmp_path / "c")


def test_pictures_that_are_not_in_the_file_are_told_or_left_out(
    tmp_path: Path, picture: Picture, capsys: pytest.CaptureFixture[str]
) -> None:
    file = hugging_face(tmp_path / "x.parquet", [picture(0), None], [0, 1], ["real", "fake"])
    assert len(load_rows([file], tmp_path / "c")) == 1
    assert "left out 1 files that are no sound pictures" in capsys.readouterr().err
    pq.write_table(pa.table({"image": ["a.jpg"], "label": [0]}), file)
    with pytest.raises(DataError, match=r"column image holds string, not the pictures' bytes"):
        open_parquet(file)


def test_rows_and_manifest_agree_and_come_from_the_cache_the_second_time(tmp_path: Path, picture: Picture) -> None:
    file = parquet(tmp_path / "x-train.parquet", [picture(0), picture(1), picture(0)])
    rows, manifest = load_rows([file], tmp_path / "c"), load_manifest([file], tmp_path / "c")
    assert (rows.pixels.shape, rows.pixels.dtype.name) == ((3, 16, 16, 3), "uint8")
    assert rows.hashes.tolist() == manifest["sha256"].to_pylist()
    assert rows.hashes[0] == rows.hashes[2] != rows.hashes[1]
    assert {"training"} == set(rows.parts)
    made = {f: f.stat().st_mtime_ns for f in (tmp_path / "c").iterdir()}
    again = load_rows([file], tmp_path / "c")
    assert np.array_equal(again.pixels, rows.pixels)
    assert made == {f: f.stat().st_mtime_ns for f in (tmp_path / "c").iterdir()}


def test_names_that_are_no_text_are_escaped_in_the_manifest(tmp_path: Path, picture: Picture) -> None:
    for label, folder in enumerate(("real", "fake")):
        (tmp_path / "p" / folder).mkdir(parents=True)
        (tmp_path / "p" / folder / os.fsdecode(b"b\xe9.png")).write_bytes(picture(label, 16, "PNG"))
    names = load_manifest([tmp_path / "p"], tmp_path / "c")["name"].to_pylist()
    assert sorted(Path(name).name for name in names) == ["b\\udce9.png"] * 2


def test_pictures_of_several_sizes_want_a_side(tmp_path: Path, picture: Picture) -> None:
    file = parquet(tmp_path / "x.parquet", [picture(0, 16, "PNG"), picture(1, 40, "PNG")])
    with pytest.raises(DataError, match="side=224"):
        load_rows([file], tmp_path / "c")
    native = load_rows([file], tmp_path / "c", Shape(side=32)).pixels
    squeezed = load_rows([file], tmp_path / "c", Shape(side=32, squeeze=True)).pixels
    assert (2, 32, 32, 3) == native.shape == squeezed.shape
    whole = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert np.array_equal(native[1], whole[4:36, 4:36])  # the native middle
    assert not np.array_equal(squeezed[1], native[1])


def test_what_is_no_sound_picture_is_left_out_and_counted(
    tmp_path: Path, picture: Picture, capsys: pytest.CaptureFixture[str]
) -> None:
    file = parquet(tmp_path / "x.parquet", [picture(0), b"text", picture(2), picture(3)[:200]])
    rows = load_rows([file], tmp_path / "c")
    assert rows.labels.tolist() == [0, 0]
    assert "left out 2 files that are no sound pictures, such as x.parquet#1" in capsys.readouterr().err


def test_a_sample_is_even_over_sources_and_classes() -> None:
    entries = [Entry(str(i), i % 2, "big" if i < 900 else "small", "") for i in range(1000)]
    chosen = sample(entries, 100)
    counts = {
        (s, k): sum(entries[i].source == s and entries[i].label == k for i in chosen)
        for s in ("big", "small")
        for k in (0, 1)
    }
    assert counts == {("big", 0): 45, ("big", 1): 45, ("small", 0): 8, ("small", 1): 8}
    assert list(range(1000)) == sample(entries, 0) == sample(entries, 5000)
