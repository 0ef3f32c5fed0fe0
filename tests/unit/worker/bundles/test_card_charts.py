"""Drawings of a card: sound SVG, without what a strict content policy refuses, for as many points as there are."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

from worker.bundles.card import Card, read_card
from worker.bundles.card_charts import charts
from worker.bundles.headline import headline

CURVES = {
    "roc": {"false_positive_rate": [0.0, 0.01, 1.0], "true_positive_rate": [0.0, 0.4, 1.0]},
    "reliability": [
        {"images": 10, "mean_probability": 0.1, "ai_generated_share": 0.2},
        {"images": 90, "mean_probability": 0.9, "ai_generated_share": 0.8},
    ],
    "histogram": {"edges": [0.0, 0.5, 1.0], "not_ai_generated": [30, 10], "ai_generated": [0, 60]},
}
OVERALL = {"images": 100, "auroc": 0.8, "found": 0.4, "wrongly_accused": 0.01}


def drawn(card: Card) -> dict[str, str]:
    found = headline(card)
    assert found is not None
    return {chart.name: chart.svg for chart in charts(found)}


def test_the_default_bundle_s_card_has_four_drawings_that_any_page_may_show(repository: Path) -> None:
    file = repository / "worker" / "bundles" / "shipped" / "wild" / "card.json"
    pictures = drawn(read_card(json.loads(file.read_text(encoding="utf-8"))))
    assert list(pictures) == ["found", "probabilities", "sources", "changes"]
    for svg in pictures.values():
        assert ET.fromstring(svg).attrib["role"] == "img"  # noqa: S314 (ours)
        assert re.search(r"style=|<script|href=|\son[a-z]+=", svg) is None
        assert re.search(r"[\", ]nan", svg) is None


def test_every_point_lies_inside_its_drawing() -> None:
    for svg in drawn(read_card({"folds": {"overall": OVERALL, "curves": CURVES}})).values():
        root = ET.fromstring(svg)  # noqa: S314 (ours)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for line in root:
            for pair in line.attrib.get("points", "").split():
                x, y = map(float, pair.split(","))
                assert 0 <= x <= width
                assert 0 <= y <= height


def test_reliability_stands_in_where_sources_were_not_ranked() -> None:
    card = read_card({"folds": {"overall": OVERALL, "curves": CURVES}})
    assert list(drawn(card)) == ["found", "probabilities", "reliability"]
    assert "90 images" in drawn(card)["reliability"]


def test_a_card_without_points_has_no_drawings() -> None:
    assert drawn(read_card({"held_out": {"images": 3}})) == {}


def test_names_from_a_card_are_no_markup() -> None:
    ranks = {"<script>": 0.5, "b": 0.9}
    svg = drawn(read_card({"folds": {"overall": OVERALL, "auroc_by_ai_source": ranks}}))["sources"]
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg
