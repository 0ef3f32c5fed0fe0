"""A card on two screens: its leading figures first, everything else below them."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.cli.bundles_card import as_text
from worker.bundles.card import read_card


def kind(accused: int, images: int, worst: str) -> dict[str, Any]:
    return {
        "images": images,
        "accused": accused,
        "wrongly_accused": accused / images,
        "rate": accused / images,
        "wrongly_accused_at_most": 0.0721,
        "intervals_95": {"wrongly_accused": [0.0, 0.5]},
        "worst_source": {"name": worst, "images": 20, "accused": accused},
    }


def evaluation(data: str, images: int, **more: Any) -> dict[str, Any]:
    return {"data": data, "overall": {"images": images, "accuracy": 0.5, "auroc": None}, **more}


CARD = {
    "bundle": "tiny-0123456789ab",
    "code_version": {"assay": "0.1.0", "commit": "0123456789abcdef"},
    "detectors": {"clip": {"weights": 1234, "views": {"size": 32, "wholes": 1, "crops": 2, "mirrored": True}}},
    "training_data": {"images": 1000, "ai_generated": 400, "sources": {"calm": 600, "odd": 400}, "licences": "ours"},
    "tried": ["Twice the steps: nothing."],
    "held_out": {"images": 80, "auroc": 0.9, "wrongly_accused": 0.05},
    "negatives": {"photographs": kind(4, 40, "odd"), "drawings": kind(0, 40, "drawn_text")},
    "by_source": {
        "calm": {"images": 40, "accuracy": 0.9, "wrongly_accused": 0.0, "found": None},
        "odd": {"images": 40, "accuracy": 0.4, "wrongly_accused": 0.1, "found": None},
    },
    "selection": "One split of sources.",
    "known_weaknesses": ["small"],
    "evaluations": [
        evaluation("--data a --limit 200 --heatmaps 60", 200, heatmaps={"images": 60}),
        evaluation("--data a", 2000, weaknesses=["AUROC lost by blur 0.180"], covers="no drawings"),
    ],
}


def printed(document: dict[str, Any]) -> str:
    """The card's text, its line ends taken out."""
    return " ".join(as_text(read_card(document)).split())


def test_what_a_card_knows_is_told() -> None:
    text = printed(CARD)
    for words in (
        "measured on 80 images held out of training",
        "AUROC, all images 0.900",
        "exported by assay 0.1.0, commit 0123456789ab (what wrote the bundle",
        "clip: 1,234 weights, sees the whole and 2 crops and their mirror images at 32 px",
        "trained on 1,000 images, 400 AI-generated",
        "of sources calm 600, odd 400",
        "licences ours",
        "1 trials; `--json` and `--html` show them",
        "source odd: 40 images, accuracy 0.400, accused 0.100",
        "selection One split of sources.",
        "weakness small",
        "weakness AUROC lost by blur 0.180",
        "of no drawings",
    ):
        assert words in text, words


def test_photographs_accused_do_not_count_drawings() -> None:
    text = printed(CARD)
    assert "Photographs accused 10.0 % 4 of 40, at most 7.2 %" in text
    assert "Drawings and renderings accused 0 % 0 of 40, at most 7.2 %" in text


def test_the_largest_evaluation_comes_first_and_a_subset_is_called_one() -> None:
    text = printed(CARD)
    assert text.index("2,000 images, accuracy") < text.index("200 images (a subset, for its heatmaps)")


def test_a_smoke_run_says_so() -> None:
    assert "smoke a smoke run; its figures are worth nothing" in printed({**CARD, "smoke": True})


@pytest.mark.parametrize("name", ["cifake", "wild", "earlier/wild-e910f7c726b5"])
def test_a_shipped_card_fits_on_two_screens_with_every_weakness(repository: Path, name: str) -> None:
    card = json.loads((repository / "worker" / "bundles" / "shipped" / name / "card.json").read_text("utf-8"))
    lines = as_text(read_card(card)).splitlines()
    assert len(lines) <= 100
    assert max(map(len, lines)) <= 100
    weak = [words for found in card.get("evaluations", []) for words in found["weaknesses"]]
    weak += card["known_weaknesses"]
    assert weak
    assert all(" ".join(words.split()) in printed(card) for words in weak)


def test_the_default_bundle_s_figures_stand_first_and_are_the_folds(repository: Path) -> None:
    card = json.loads((repository / "worker" / "bundles" / "shipped" / "wild" / "card.json").read_text("utf-8"))
    lines = as_text(read_card(card)).splitlines()
    figures = [line for line in lines if any(char.isdigit() for char in line)]
    assert "in 5 folds" in figures[1]
    assert f"{card['folds']['overall']['auroc']:.3f}" in figures[2]


def test_a_card_tells_of_whole_images_for_each_change() -> None:
    counted = {"photographs": 20, "accused": 1, "accused_at_most": 0.2161, "ai_generated": 9, "found": 4, "cleared": 0}
    by_change = {name: {"auroc": 0.9, "by_views": {"all": counted}} for name in ("as they are", "JPEG 80")}
    text = printed({"whole_images": {"images": 29, "sources": ["a", "b"], "heads": "that fit", "by_change": by_change}})
    assert "29 of 2 sources, heads that fit" in text
    assert "JPEG 80: AUROC 0.900, 4 of 9 AI pictures found, 1 of 20 photographs accused (at most 0.2161)" in text


def test_a_card_tells_whether_heatmaps_beat_random_maps() -> None:
    better, none = {"gain": 0.1, "interval_95": [0.05, 0.15]}, {"gain": 0.0, "interval_95": [-0.1, 0.1]}
    checks = {"lite2": {"grad-cam": {"deletion": better, "insertion": none, "shuffled": 0.1}}}
    text = printed({"heatmaps": {"images": 60, "detectors": checks}})
    assert "lite2 grad-cam: deletion better than a random map (+0.100), insertion no better than a random map" in text


def test_a_card_that_says_next_to_nothing_is_told() -> None:
    assert as_text(read_card({"bundle": "tiny"})) == "bundle        tiny\n"
