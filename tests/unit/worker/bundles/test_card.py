"""What code decides by of a card: read once, by its kind, whatever else the card says."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker.bundles.card import CardError, card_document, read_card


def test_the_cards_that_ship_name_their_bundle_and_their_data(repository: Path) -> None:
    files = sorted((repository / "worker" / "bundles" / "shipped").glob("*/card.json"))
    assert files
    for file in files:
        card = read_card(json.loads(file.read_text(encoding="utf-8")))
        assert card.bundle is not None
        assert card.bundle.endswith(f"-{(card.content_sha256 or '')[:12]}")
        assert card.training_data is not None
        assert card.training_data.sources
        assert card.calibration_data is not None
        assert card.calibration_data.fingerprint_sha256 is not None
        assert card.features is not None
        assert len(card.features.mean) == len(card.features.deviation)


def test_a_card_that_says_nothing_saw_no_label_and_holds_nothing_out() -> None:
    card = read_card({"title": "old"})
    assert (card.training.labels_until, card.held_out_sources, card.same_features_as) == (0, (), ())
    assert (card.training_data, card.features, card.content_sha256) == (None, None, None)


@pytest.mark.parametrize(
    ("card", "place"),
    [
        ({"training": {"labels_until": "soon"}}, "training.labels_until"),
        ({"held_out_sources": "all"}, "held_out_sources"),
        ({"features": {"images": 3, "mean": [0.0]}}, "features.deviation"),
    ],
)
def test_a_value_of_another_kind_is_named_by_its_place(card: dict[str, Any], place: str) -> None:
    with pytest.raises(CardError, match=rf"wrong at {place}: .*; export the bundle again"):
        read_card(card)


def test_detectors_that_ride_along_have_no_vote() -> None:
    card = read_card({"counted": ["b"]})
    assert (card.votes(["a", "b"]), card.is_cross_fitted) == ([False, True], True)
    assert (read_card({}).votes(["a", "b"]), read_card({}).is_cross_fitted) == ([True, True], False)


def cards(repository: Path) -> list[Path]:
    """Every card that ships, those of earlier releases too."""
    return sorted((repository / "worker" / "bundles" / "shipped").rglob("card.json"))


def test_every_card_that_ships_comes_back_as_it_was_written(repository: Path) -> None:
    assert len(cards(repository)) >= 3
    for file in cards(repository):
        document = json.loads(file.read_text(encoding="utf-8"))
        assert read_card(document).document() == document


@pytest.mark.parametrize(
    "document",
    [
        {"title": "of another release", "colour": "green", "folds": "by source"},
        {"held_out": {"images": 3, "new_measure": 0.5}, "negatives": {}},
        {"training_data": {"images": None, "licences": "?", "said_by": "the authors"}, "head_data": {"images": 4}},
        {"worst_source": {"name": "a", "accuracy": 0.5}},  # cards of the first releases count no images here
        {"training": {"run": 7, "labels_until": 3, "code_version": {"assay": "0.1.0", "commit": None}}},
    ],
)
def test_fields_that_this_release_does_not_know_survive(document: dict[str, Any]) -> None:
    assert read_card(document).document() == document
    assert card_document(document) == document


def test_typed_parts_become_plain_values() -> None:
    held_out = read_card({"held_out": {"images": 3}}).held_out
    assert card_document({"held_out": held_out}) == {"held_out": {"images": 3}}


@pytest.mark.parametrize("probe", ["0.5", "text", {}, {"probability": None}, {"probability": float("nan")}, [0.5]])
def test_a_probe_that_tells_no_probability_is_refused(probe: object) -> None:
    with pytest.raises(CardError, match="wrong at probe"):
        read_card({"probe": probe})


@pytest.mark.parametrize(
    ("card", "place"),
    [
        ({"detectors": {"clip": {"weights": 3}}}, "detectors.clip.views"),
        ({"detectors": ["clip"]}, "detectors"),
        ({"negatives": {"photographs": {}}}, "negatives.photographs.images"),
        ({"certificate": {"holds": True}}, "certificate.budget"),
        ({"known_weaknesses": None}, "known_weaknesses"),
        ({"whole_images": {"images": 3}}, "whole_images.sources"),
    ],
)
def test_figures_that_belong_together_are_there_together(card: dict[str, Any], place: str) -> None:
    with pytest.raises(CardError, match=rf"wrong at {place}"):
        read_card(card)
