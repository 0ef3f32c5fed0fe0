"""What code decides by of a card: read once, by its kind, whatever else the card says."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker.bundles.card import CardError, read_card


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
