"""One set of leading figures for a bundle, whoever shows them."""

import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from api.console.card import summarise_card
from infra.cli.bundles_card import as_text
from infra.cli.bundles_page import as_page
from worker.bundles.card import Card, read_card
from worker.bundles.headline import Headline, headline

FOLDS: dict[str, Any] = {
    "command": "make it again",
    "overall": {"images": 400, "auroc": 0.812, "found": 0.081, "ece_15": 0.03, "ece_15_at_own_prior": 0.02},
    "intervals_95": {"auroc": [0.75, 0.89]},
    "folds": [{"sources": ["a", "b"], "images": 200}, {"sources": ["c"], "images": 200}],
    "auroc_mean_over_ai_sources": 0.847,
    "auroc_by_ai_source": {name: 0.9 - 0.05 * place for place, name in enumerate("abcdefg")},
    "negatives": {"photographs": {"images": 200, "accused": 1, "wrongly_accused": 0.005}},
}
HELD_OUT = {"images": 90, "accuracy": 0.9825, "auroc": 0.99846}
OTHERS: dict[str, Any] = {"data": "--data small.csv", "overall": {"images": 10, "auroc": 0.5}}


def found(document: dict[str, Any]) -> Headline:
    leading = headline(read_card(document))
    assert leading is not None
    return leading


def test_folds_lead_wherever_they_were_measured() -> None:
    leading = found({"folds": FOLDS, "held_out": HELD_OUT, "evaluations": [OTHERS], "headline_data": OTHERS["data"]})
    assert leading.measured_on.startswith("400 images of 3 sources in 2 folds; each source judged by detectors that")
    rows = {row.name: row for row in leading.rows()}
    assert rows["AUROC, all images"][1:] == ("0.812", "95 % interval 0.750 to 0.890")
    assert rows["AUROC, mean over AI sources"].value == "0.847"
    assert rows["AI pictures found"].value == "8.1 %"
    assert rows["Photographs accused"][1:] == ("0.50 %", "1 of 200")
    assert rows["Calibration error (ECE)"].value == "0.030"
    assert rows["Worst sources"].value == "g 0.60, f 0.65, e 0.70, d 0.75, c 0.80"
    assert leading.command == "make it again"


def test_without_folds_the_evaluation_that_the_card_names_leads() -> None:
    named = {"data": "--data test.parquet --heatmaps 60", "overall": {"images": 20_000, "auroc": 0.7}}
    document = {"held_out": HELD_OUT, "evaluations": [OTHERS, named], "headline_data": "--data test.parquet"}
    assert found(document).measured_on == "20,000 images: test.parquet"
    assert found({**document, "evaluations": [OTHERS]}).measured_on == "90 images held out of training"


def test_without_either_images_held_out_lead_and_a_card_without_figures_has_no_headline() -> None:
    rows = {row.name: row.value for row in found({"held_out": HELD_OUT}).rows()}
    assert rows == {"AUROC, all images": "0.9985", "Accuracy": "98.25 %"}
    assert headline(Card()) is None
    assert headline(read_card({"folds": "by source"})) is None


def test_worst_sources_of_held_out_images_are_those_large_enough_to_say_so() -> None:
    groups = {"few": {"images": 3, "accuracy": 0.0}, "a": {"images": 50, "accuracy": 0.6}}
    more = {**groups, "b": {"images": 50, "accuracy": 0.9}}
    assert found({"held_out": HELD_OUT, "by_source": groups}).worst == ()
    assert found({"held_out": HELD_OUT, "by_source": more}).worst == (("a", 0.6), ("b", 0.9))


def test_what_is_left_to_a_person_is_said_for_either_class() -> None:
    verdicts = {
        "ai_generated": {"ai_generated": 10, "not_ai_generated": 0},
        "uncertain": {"ai_generated": 30, "not_ai_generated": 20},
        "not_ai_generated": {"ai_generated": 0, "not_ai_generated": 40},
    }
    rows = {row.name: row for row in found({"held_out": {**HELD_OUT, "coverage": 0.5, "verdicts": verdicts}}).rows()}
    row = rows["Left to a person (uncertain)"]
    assert (row.value, row.note) == ("50.0 %", "75.0 % of AI pictures, 33.3 % of all others")


@pytest.mark.parametrize("name", ["wild", "cifake"])
def test_the_same_figures_stand_on_card_page_console_command_line_and_in_the_documents(
    name: str, repository: Path
) -> None:
    document = json.loads((repository / "worker" / "bundles" / "shipped" / name / "card.json").read_text("utf-8"))
    card = read_card(document)
    rows = found(document).rows()
    assert len(rows) >= 5
    assert rows == summarise_card(document).rows
    text, page = " ".join(as_text(card).split()), unescape(as_page(card))
    readme, docs = (
        (repository / "README.md").read_text("utf-8"),
        (repository / "docs" / "bundles.md").read_text("utf-8"),
    )
    for row in rows:
        assert row.value in text
        assert f">{row.value}<" in page
        written = row.value if "," in row.value else f"**{row.value}**"
        assert f"| {row.name} | {written} | {row.note} |" in docs
        assert (f"| {row.name} | {written} | {row.note} |" in readme) == (name == "wild")


def test_the_default_bundle_leads_with_five_folds_over_all_its_sources(repository: Path) -> None:
    document = json.loads((repository / "worker" / "bundles" / "shipped" / "wild" / "card.json").read_text("utf-8"))
    folds = read_card(document).measured_folds
    assert folds is not None
    assert len(folds.folds) == 5
    assert {source for fold in folds.folds for source in fold.sources} == set(document["training_data"]["sources"])
    assert found(document).overall == folds.overall
    assert len(found(document).worst) == 5
    assert len(folds.auroc_by_ai_source) > 40
