import json
from pathlib import Path
from typing import Any

import pytest

from infra.cli.bundles_card import as_text, probe_told, read_card
from worker.errors import AssayError


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


def test_all_that_a_card_knows_is_told() -> None:
    text = as_text(CARD)
    for told in (
        "assay 0.1.0, commit 0123456789ab (what wrote the bundle",
        "clip: 1,234 weights, sees the whole and 2 crops and their mirror images at 32 px",
        "1,000 images, 400 AI-generated",
        "calm 600, odd 400",
        "licences    ours",
        "tried         Twice the steps: nothing.",
        "source odd: 40 images, accuracy 0.400, accused 0.100",
        "selection     One split of sources.",
        "weakness      small",
        "weakness    AUROC lost by blur 0.180",
        "of          no drawings",
    ):
        assert told in text, told


def test_photographs_accused_do_not_count_drawings() -> None:
    lines = {line.split("  ")[1]: line for line in as_text(CARD).splitlines() if " accused  " in line}
    assert lines.keys() == {"photographs accused", "drawings accused"}
    assert "0.1000  [0.0000, 0.5000]  4 of 40; worst source odd, 4 of 20" in lines["photographs accused"]
    assert "0.0000  at most 0.0721  0 of 40" in lines["drawings accused"]


def test_the_largest_evaluation_comes_first_and_a_subset_is_called_one() -> None:
    evaluated = [line for line in as_text(CARD).splitlines() if line.startswith("evaluated")]
    assert "2,000 images  accuracy" in evaluated[0]
    assert "200 images (a subset, for its heatmaps)" in evaluated[1]


def test_a_smoke_run_says_so() -> None:
    assert "smoke         a smoke run; its figures are worth nothing" in as_text({**CARD, "smoke": True})


@pytest.mark.parametrize("name", ["cifake", "wild"])
def test_cards_that_ship_are_told_with_the_weaknesses_of_their_evaluations(repository: Path, name: str) -> None:
    card = json.loads((repository / "worker" / "bundles" / "shipped" / name / "card.json").read_text("utf-8"))
    text = as_text(card)
    weak = [said for found in card.get("evaluations", []) for said in found["weaknesses"]]
    weak += card["known_weaknesses"]
    assert weak
    assert all(said in text for said in [*weak, *card.get("tried", []), *list(card["training_data"]["sources"])[:20]])


def test_a_card_tells_of_whole_images_for_each_change() -> None:
    counted = {"photographs": 20, "accused": 1, "accused_at_most": 0.2161, "ai_generated": 9, "found": 4, "cleared": 0}
    by_change = {name: {"auroc": 0.9, "by_views": {"all": counted}} for name in ("as they are", "JPEG 80")}
    text = as_text({"whole_images": {"images": 29, "sources": ["a", "b"], "heads": "that fit", "by_change": by_change}})
    assert "29 whole images of 2 sources, judged by heads that fit" in text
    assert "JPEG 80: AUROC 0.9000, 1 of 20 photographs accused (at most 0.2161), 4 of 9 AI pictures found" in text


def test_a_card_that_says_next_to_nothing_is_told() -> None:
    assert as_text({"bundle": "tiny"}) == "bundle        tiny\n"


@pytest.mark.parametrize(
    ("text", "told"), [(None, "does not exist"), ("{", "cannot be read"), ("[1]", "no JSON object"), ("\xff", "read")]
)
def test_a_card_that_is_missing_or_damaged_says_what_to_do(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / "card.json").write_text(text, encoding="latin-1")
    with pytest.raises(AssayError, match=f"{told}.*; fetch or export the bundle again"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"detectors": {"clip": {"weights": 3}}},
        {"detectors": ["clip"]},
        {"held_out": {"images": 3}, "intervals_95": {"images": 3}},
        {"negatives": {"photographs": {}}},
        {"certificate": {"holds": True}},
        {"evaluations": [{"data": "x"}]},
        {"known_weaknesses": None},
        {"whole_images": {"images": 3}},
    ],
)
def test_a_card_that_lacks_figures_is_told_in_one_line(changes: dict[str, Any]) -> None:
    with pytest.raises(AssayError, match=r"the card is damaged .*; fetch or export the bundle again"):
        as_text({**CARD, **changes})


@pytest.mark.parametrize("probe", ["0.5", "text", {}, {"probability": None}, {"probability": float("nan")}, [0.5]])
def test_a_probe_that_tells_no_probability_is_refused(probe: object) -> None:
    with pytest.raises(AssayError, match="probe tells no probability"):
        probe_told({"probe": probe})


def test_a_card_without_a_probe_has_none_to_compare() -> None:
    assert (probe_told({}), probe_told({"probe": None}), probe_told({"probe": {"probability": 0.25}})) == (
        None,
        None,
        0.25,
    )
