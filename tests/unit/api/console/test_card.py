"""What the console shows of a bundle's card, sound or damaged."""

from typing import Any

import pytest

from api.console.card import summarise_card


@pytest.mark.parametrize("document", [{}, {"title": "young"}, {"folds": "by source"}])
def test_what_a_card_does_not_hold_is_not_shown(document: dict[str, Any]) -> None:
    card = summarise_card(document)
    assert (card.rows, card.charts, card.weaknesses, card.evaluations, card.trouble) == ([], [], [], [], None)


@pytest.mark.parametrize("document", [{"held_out": []}, {"held_out": {"images": "many"}}, {"evaluations": ["torn"]}])
def test_a_damaged_card_says_why_and_hides_nothing_else(document: dict[str, Any]) -> None:
    card = summarise_card(document)
    assert "the bundle's card is wrong at" in (card.trouble or "")
    assert card.rows == []


def test_the_largest_evaluation_comes_first_and_its_weaknesses_are_the_bundle_s() -> None:
    small = {"data": "some", "overall": {"images": 200, "auroc": 0.7}, "weaknesses": ["slow"]}
    large = {"data": "all", "overall": {"images": 2000, "auroc": 0.6}, "weaknesses": ["blur"]}
    card = summarise_card({"known_weaknesses": ["young"], "evaluations": [small, {"data": "none"}, large]})
    assert [one.data for one, _ in card.evaluations] == ["all", "some"]
    assert card.weaknesses == ["young", "all: blur", "some: slow"]


def test_sources_stand_in_the_order_of_their_accuracy_however_they_were_stored() -> None:
    measured, bare = {"a": {"images": 9, "accuracy": 0.9}, "c": {"images": 9, "accuracy": 0.3}}, {"images": 9}
    sources = {"b": bare, **measured, "d": bare}
    card = summarise_card({"by_source": sources})
    assert [name for name, _ in card.worst_first] == ["c", "a", "b", "d"]
