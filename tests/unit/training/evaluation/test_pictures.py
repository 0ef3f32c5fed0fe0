from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.data.collection import DataError
from training.evaluation.pictures import fingerprint, held_out_of, open_pictures, some, without
from training.recipe_file import load_recipe

Tree = Callable[..., Path]
Picture = Callable[..., bytes]


def table(file: Path, images: list[bytes], labels: list[int], sources: list[str]) -> Path:
    pq.write_table(pa.table({"image": images, "label": pa.array(labels, pa.int8()), "source": sources}), file)
    return file


@pytest.fixture
def three_sources(tmp_path: Path, picture: Picture) -> Path:
    images = [picture(seed) for seed in range(12)]
    return table(tmp_path / "crops.parquet", images, [0, 1] * 6, ["a"] * 6 + ["b"] * 4 + ["c"] * 2)


def test_a_folder_and_a_parquet_file_are_read_as_one_in_a_stable_order(tree: Tree, three_sources: Path) -> None:
    pictures = open_pictures([tree("real/a.jpg", "fake/b.jpg"), three_sources])
    assert len(pictures) == 14
    chosen = pictures.take(np.array([1, 5, 13]))
    bytes_of = dict(zip(pictures.hashes.tolist(), pictures.read(), strict=True))
    assert list(chosen.read()) == [bytes_of[digest] for digest in chosen.hashes.tolist()]


def test_a_folder_of_parquet_files_is_all_of_them(three_sources: Path, picture: Picture) -> None:
    table(three_sources.parent / "more.parquet", [picture(99)], [1], ["d"])
    assert sorted(set(open_pictures([three_sources.parent]).sources.tolist())) == ["a", "b", "c", "d"]


def test_only_what_a_recipe_holds_out_is_kept(three_sources: Path) -> None:
    recipe = replace(load_recipe("scratch"), held_out_sources=("b", "c", "drawn_shapes"))
    assert set(held_out_of(open_pictures([three_sources]), recipe).sources.tolist()) == {"b", "c"}


def test_where_a_recipe_chose_its_sources_by_the_data_the_card_s_are_kept(three_sources: Path) -> None:
    recipe = load_recipe("convnext-base")
    pictures = open_pictures([three_sources])
    assert recipe.disjoint == "source"
    assert set(held_out_of(pictures, recipe, ("c",)).sources.tolist()) == {"c"}
    everything = replace(recipe, held_out_share=1.0)  # of a card that names none: by content, then
    assert set(held_out_of(pictures, everything).sources.tolist()) == {"a", "b", "c"}


def test_a_recipe_that_holds_out_nothing_of_the_data_is_refused(three_sources: Path) -> None:
    with pytest.raises(DataError, match="none of the sources"):
        held_out_of(open_pictures([three_sources]), load_recipe("scratch"))


def test_images_that_were_seen_in_training_are_left_out(three_sources: Path, tmp_path: Path, picture: Picture) -> None:
    seen = table(tmp_path / "seen.parquet", [picture(0), picture(7), picture(50)], [0, 1, 0], ["x"] * 3)
    left = without(open_pictures([three_sources]), [seen])
    assert len(left) == 10


def test_a_subset_gives_every_source_and_class_its_share(three_sources: Path) -> None:
    chosen = some(open_pictures([three_sources]), 6)
    assert len(chosen) == 6
    assert chosen.sources.tolist() == ["a"] * 3 + ["b"] * 2 + ["c"]
    assert sorted(chosen.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert len(some(chosen, 99)) == 6


def test_the_fingerprint_is_of_content_and_labels_not_of_order(three_sources: Path) -> None:
    pictures = open_pictures([three_sources])
    backwards = fingerprint(pictures.hashes[::-1], pictures.labels[::-1])
    assert fingerprint(pictures.hashes, pictures.labels) == backwards
    assert fingerprint(pictures.hashes, 1 - pictures.labels) != backwards


def test_one_source_is_drawn_by_content_and_several_by_source(tree: Tree, three_sources: Path) -> None:
    several, one = open_pictures([three_sources]), open_pictures([tree("real/a.jpg", "fake/b.jpg")])
    assert several.clusters.tolist() == several.sources.tolist()
    assert one.clusters.tolist() == one.hashes.tolist()
