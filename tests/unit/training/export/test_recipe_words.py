from dataclasses import replace
from pathlib import Path

import pytest

from training.export.recipe_words import certifies, in_own_words, is_smoke, selection, told_of
from training.recipe import Fit, smoke, with_minutes
from training.recipe_file import load_recipe

SCRATCH = load_recipe("scratch")


@pytest.fixture
def own_files(tmp_path: Path) -> Path:
    for name in (*SCRATCH.files, "labels.parquet"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_run_on_the_recipe_s_own_files_keeps_its_words(own_files: Path) -> None:
    assert in_own_words(SCRATCH, own_files) == SCRATCH


def test_a_run_on_other_data_claims_no_licence_no_trials_and_no_scope(tmp_path: Path) -> None:
    expected = in_own_words(SCRATCH, tmp_path)
    assert expected.card == {"title": "scratch"}
    assert "nobody has described" in expected.scope


@pytest.mark.parametrize(
    "changes",
    [["limit=500"], ["made={}"], ["held_out_sources=['ziad']"], ["gate_share=0.5"], ["files=['labels.parquet']"]],
)
def test_a_run_on_a_part_or_with_other_images_claims_none_either(own_files: Path, changes: list[str]) -> None:
    assert in_own_words(load_recipe("scratch", changes), own_files).card == {"title": "scratch"}


def test_labels_beside_the_recipe_s_files_are_other_data_and_what_a_run_adds_to_the_card_stays(own_files: Path) -> None:
    files = (*SCRATCH.files, "labels.parquet")
    expected = in_own_words(replace(SCRATCH, files=files, card={**SCRATCH.card, "training": {"run": 3}}), own_files)
    assert expected.card == {"title": "scratch", "training": {"run": 3}}
    assert expected.scope != SCRATCH.scope


def test_words_given_with_the_data_stay(tmp_path: Path) -> None:
    changes = ["card.licences=our own pictures", "card.title=Ours", "scope=our uploads"]
    expected = in_own_words(load_recipe("scratch", changes), tmp_path)
    assert expected.card == {"title": "Ours", "licences": "our own pictures"}
    assert expected.scope == "our uploads"


def test_a_recipe_of_one_s_own_speaks_for_its_files_or_for_whatever_it_is_run_on_if_it_names_none(
    own_files: Path,
) -> None:
    ours = replace(SCRATCH, name="ours", card={"title": "Ours", "tried": ["this"]})
    assert in_own_words(ours, own_files) == ours
    assert in_own_words(ours, own_files / "elsewhere").card == {"title": "ours"}
    assert in_own_words(smoke(ours), own_files).card == {"title": "ours"}
    anything = replace(ours, files=())
    assert in_own_words(anything, own_files / "elsewhere") == anything


def test_a_smoke_run_is_told_from_others_whatever_its_minutes(own_files: Path) -> None:
    assert is_smoke(smoke(SCRATCH))
    assert is_smoke(with_minutes(smoke(SCRATCH), 3.0))
    assert not is_smoke(SCRATCH)
    short = tuple(replace(part, fit=Fit(16, 1e-3, 0.0, 1.0, minutes=0.25)) for part in SCRATCH.detectors)
    assert not is_smoke(replace(SCRATCH, detectors=short, limit=1600))
    expected = told_of(in_own_words(smoke(SCRATCH), own_files))
    assert expected["smoke"] is True
    assert "worth nothing" in expected["known_weaknesses"][0]
    assert told_of(SCRATCH)["known_weaknesses"] == SCRATCH.card["known_weaknesses"]
    assert "smoke" not in told_of(SCRATCH)


def test_the_card_says_that_one_split_chose_and_measured() -> None:
    wild = {"held_out_sources": list(SCRATCH.held_out_sources), **SCRATCH.card}
    assert "one split of whole sources" in selection(wild)
    assert "flatter" in selection(wild)
    assert "by content" in selection({"held_out_sources": [], "tried": ["this"]})
    assert "`tried`" not in selection({"held_out_sources": []})


@pytest.mark.parametrize(
    ("sources", "by_source", "expected"),
    [
        (["a", "b"], True, "each from a fit that never saw the source"),
        (["a"], False, "fusion and thresholds saw other images of them"),
        ([], False, "held out by content"),
        ([], True, "held out by content"),
    ],
)
def test_a_certificate_is_told_with_what_the_fits_had_seen(
    sources: list[str], expected: str, *, by_source: bool
) -> None:
    assert expected in certifies(sources, by_source=by_source)
