"""A card's page needs nothing from anywhere, and shows everything that the card's words say."""

import json
import re
from html import unescape
from pathlib import Path

import pytest

from infra.cli.bundles_page import as_page
from worker.bundles.card import read_card


@pytest.mark.parametrize("name", ["wild", "cifake", "earlier/wild-e910f7c726b5"])
def test_a_shipped_card_is_a_page_with_its_words_and_charts(repository: Path, name: str) -> None:
    card = json.loads((repository / "worker" / "bundles" / "shipped" / name / "card.json").read_text("utf-8"))
    page = as_page(read_card(card))
    assert re.search(r"https?://(?!www\.w3\.org/2000/svg)|<script|@import", page) is None
    text = unescape(page)
    assert all(words in text for words in [*card["known_weaknesses"], *card.get("tried", []), card["selection"]])
    if name == "wild":
        assert re.findall(r'<figure id="(\w+)"', page) == ["found", "probabilities", "sources", "changes"]


def test_words_of_a_card_are_no_markup() -> None:
    page = as_page(read_card({"title": "<b>x</b>", "known_weaknesses": ["<script>alert(1)</script>"]}))
    assert "<script>" not in page
    assert "<b>x" not in page


def test_an_empty_card_is_a_page_too() -> None:
    assert "<h1>Bundle" in as_page(read_card({}))
