"""Parting rows, and what the manifest says of it."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from training.data import manifest
from training.data.assemble import Rows, held_out_note, held_out_sources
from training.data.collection import DataError
from training.data.parts import Parts, parts_of
from training.recipe import Recipe
from training.recipe_file import load_recipe

BUNDLE = Recipe(name="x", seed=0, augmentation="light", files=(), detectors=(), held_out_share=0.3)
CLASSIFIER = replace(BUNDLE, kind="classifier", held_out_share=0.0, validation_share=0.2, test_share=0.1)
COUNT = 400


def rows(**columns: Any) -> Rows:
    """Make rows of contents spread evenly, every tenth of which occurs twice."""
    contents = np.arange(COUNT) - (np.arange(COUNT) % 10 == 9)
    known = {
        "pixels": np.zeros((COUNT, 2, 2, 3), np.uint8),
        "labels": (np.arange(COUNT) % 2).astype(np.int8),
        "sources": np.full(COUNT, "s"),
        "generators": np.full(COUNT, "g"),
        "hashes": np.array([f"{int(c) * 2654435761 % 2**32:08x}" for c in contents]),
    }
    return Rows(**{**known, **columns})


def disjoint(parts: Parts, what: str) -> bool:
    sides = [set(getattr(side, what).tolist()) for side in vars(parts).values()]
    return not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_shares_are_of_the_whole_and_share_no_content() -> None:
    parts = parts_of(rows(), CLASSIFIER)
    assert pytest.approx([len(side) for side in vars(parts).values()], abs=8) == [280, 80, 40, 0]
    assert disjoint(parts, "hashes")


def test_a_collections_own_test_part_is_what_is_measured_on_and_its_copies_are_not_trained_on() -> None:
    own = np.array(["test" if i >= 309 else "training" for i in range(COUNT)])  # 308 and 309 are of one content
    parts = parts_of(rows(parts=own), CLASSIFIER)
    assert len(parts.test) == COUNT - 309
    assert disjoint(parts, "hashes")
    assert 308 not in np.flatnonzero(np.isin(rows().hashes, parts.training.hashes))


def test_a_recipe_that_pools_cuts_its_shares_out_of_everything() -> None:
    own = np.array(["test" if i >= 300 else "training" for i in range(COUNT)])
    parts = parts_of(rows(parts=own), replace(CLASSIFIER, pool=True))
    assert pytest.approx(len(parts.test), abs=8) == 40
    assert {"test", "training"} == set(parts.test.parts)


def test_whole_sources_go_to_one_side() -> None:
    sources = np.array([f"s{i // 2 % 10}" for i in range(COUNT)])
    parts = parts_of(rows(sources=sources), replace(CLASSIFIER, disjoint="source"))
    assert disjoint(parts, "sources")
    assert disjoint(parts, "hashes")
    with pytest.raises(DataError, match="at least 4 sources"):
        parts_of(rows(), replace(CLASSIFIER, disjoint="source"))


ONE_CLASS_EACH = np.array([f"{'ai' if i % 2 else 'real'}{i // 2 % 5}" for i in range(COUNT)])


def test_a_bundles_share_is_made_of_whole_sources_where_the_recipe_says_so() -> None:
    recipe = replace(BUNDLE, disjoint="source", held_out_share=0.2, gate_share=0.5)
    digits = [hashlib.sha256(text.encode()).hexdigest() for text in rows().hashes.tolist()]
    found = rows(sources=ONE_CLASS_EACH, hashes=np.array(digits))
    parts = parts_of(found, recipe)
    held_out = set(parts.test.sources.tolist())
    assert not held_out & set(parts.training.sources.tolist())
    assert held_out == set(parts.gate.sources.tolist()) == set(held_out_sources(found, recipe))
    assert sorted(name.rstrip("0123456789") for name in held_out) == ["ai", "real"]
    assert f"whole sources, which nothing is fitted on: {', '.join(sorted(held_out))}" in held_out_note(
        sorted(held_out), recipe
    )
    named = replace(recipe, held_out_sources=held_out_sources(found, recipe))
    assert np.array_equal(parts.test.hashes, parts_of(found, named).test.hashes)


@pytest.mark.parametrize("sources", [np.full(COUNT, "s"), np.array([f"s{i % 4}" for i in range(COUNT)])])
def test_too_few_sources_to_hold_whole_ones_out_are_parted_by_content_and_that_is_told(sources: Any) -> None:
    found, recipe = rows(sources=sources), replace(BUNDLE, disjoint="source", held_out_share=0.2)
    assert held_out_sources(found, recipe) == ()
    assert pytest.approx(len(parts_of(found, recipe).test), abs=8) == 80
    assert "held out by content: sources are on both sides, the sources being too few" in held_out_note((), recipe)
    assert "--set disjoint=source" in held_out_note((), BUNDLE)


def test_a_source_with_a_held_out_part_of_its_own_is_not_held_out_whole() -> None:
    sources = np.where(np.arange(COUNT) < 200, "labels", ONE_CLASS_EACH)
    own = np.array(["held_out" if i % 4 < 2 and i < 200 else "" for i in range(COUNT)])
    recipe = replace(BUNDLE, disjoint="source", held_out_share=0.2)
    parts = parts_of(rows(sources=sources, parts=own), recipe)
    assert "labels" not in held_out_sources(rows(sources=sources, parts=own), recipe)
    assert "labels" in set(parts.training.sources.tolist()) & set(parts.test.sources.tolist())


@pytest.mark.parametrize("share", [0.0, 0.004])
def test_held_out_rows_that_no_fusion_can_be_fitted_on_are_told_before_training(share: float) -> None:
    with pytest.raises(DataError, match=r"held-out images cannot be parted.*larger held_out_share"):
        parts_of(rows(), replace(BUNDLE, held_out_share=share))


def test_classifiers_without_a_picture_to_measure_on_are_told_before_training() -> None:
    with pytest.raises(DataError, match="nothing is left to measure the classifiers on: --set test_share"):
        parts_of(rows(), replace(CLASSIFIER, test_share=0.0))


def test_too_few_pictures_for_a_logistic_head_are_told_before_training() -> None:
    recipe = load_recipe("clip-pe-l14")
    assert any(part.fit.head == "logistic" for part in recipe.detectors)
    shared = replace(BUNDLE, held_out_share=0.5, detectors=recipe.detectors)
    few = rows().take(np.arange(12))
    assert parts_of(few, replace(shared, detectors=()))
    with pytest.raises(DataError, match="only 2 different pictures to train on; head = logistic wants at least 5"):
        parts_of(few, shared)


def test_a_bundles_run_never_sees_a_test_part() -> None:
    own = np.array(["test" if i >= 300 else "" for i in range(COUNT)])
    parts = parts_of(rows(parts=own), BUNDLE)
    assert not len(parts.validation)
    assert {""} == set(parts.training.parts) | set(parts.test.parts)
    assert disjoint(parts, "hashes")


def test_held_out_sources_take_their_copies_out_of_training() -> None:
    sources = np.array(["kept"] * 200 + ["out"] * 200)
    hashes = rows().hashes.copy()
    hashes[:4] = hashes[200:204]
    parts = parts_of(rows(sources=sources, hashes=hashes), replace(BUNDLE, held_out_sources=("out",)))
    assert [len(parts.training), len(parts.test)] == [196, 200]


def test_a_side_without_both_classes_is_an_error() -> None:
    with pytest.raises(DataError, match=r"training rows hold only label 1.*both classes"):
        parts_of(rows(labels=np.ones(COUNT, np.int8)), CLASSIFIER)
    sources = np.where(np.arange(COUNT) % 4 == 1, "ai", "mixed")
    with pytest.raises(DataError, match="the held-out rows hold only label 1"):
        parts_of(rows(sources=sources), replace(BUNDLE, held_out_sources=("ai",)))


def test_the_manifest_says_where_each_content_went_and_what_occurs_twice() -> None:
    own = np.array(["test" if i >= 309 else "training" for i in range(COUNT)])
    found = rows(parts=own)
    labels = found.labels.copy()
    labels[9] = labels[8] = 0  # elsewhere a copy has the other label
    table = pa.table(
        {
            "name": [str(i) for i in range(COUNT)],
            "sha256": found.hashes,
            "label": labels,
            "source": found.sources,
            "part": own,
        }
    )
    splits = manifest.splits_of(table, parts_of(found, CLASSIFIER))
    assert splits[308:310].tolist() == ["unused", "test"]
    assert (splits == "unused").sum() == 1
    described = manifest.describe(table, splits, [])
    assert tuple(described["duplicates"][k] for k in ("groups", "groups_across_parts", "groups_with_both_labels")) == (
        40,
        1,
        39,
    )
    assert "WARNING: the same bytes carry both labels" in manifest.as_text(described)
    assert sum(described["by_split"].values()) == COUNT
    shuffled = table.take(np.random.default_rng(0).permutation(COUNT))
    assert described["fingerprint"] == manifest.describe(shuffled, splits, [])["fingerprint"]
    assert described["fingerprint"] != manifest.describe(table.slice(1), splits[1:], [])["fingerprint"]
