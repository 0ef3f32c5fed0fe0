"""The gate lets a better bundle through, and nothing else."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from training.evaluation.metrics import measure
from training.evaluation.paired import (
    DRAWS,
    accuracy,
    calibration_error,
    clusters_of,
    found_at_low_rate,
    tpr_at_low_fpr,
)
from training.retraining.gate import gate
from training.retraining.gate_case import ComparedImages, Opinion, Origin, Terms
from training.retraining.gate_report import render_gate
from worker.decisions.calibration import CalibrationFigures

TERMS = Terms()


@dataclass(frozen=True)
class Case:
    """600 known images of three sources, 100 new AI-generated ones that the champion takes for photographs."""

    images: ComparedImages
    champion: Opinion
    challenger: Opinion

    def rules(self, terms: Terms = TERMS, earlier: int = 0) -> tuple[bool, dict[str, dict[str, Any]]]:
        report = gate(self.images, self.champion, self.challenger, terms, earlier)
        return report["passed"], {rule["name"]: rule for rule in report["rules"]}

    def failed(self, terms: Terms = TERMS, earlier: int = 0) -> list[str]:
        passed, rules = self.rules(terms, earlier)
        failed = [name for name, rule in rules.items() if not rule["passed"]]
        assert passed == (not failed)
        return failed


def figures(low: float = 0.02, count: int = 400) -> CalibrationFigures:
    """Held-out images that are told apart perfectly."""
    return CalibrationFigures.of([low] * count, [0.98] * count, "tests")


@pytest.fixture
def case() -> Case:
    rng = np.random.default_rng(3)
    labels = np.array([0, 1] * 300 + [1] * 100, dtype=np.int8)
    sources = np.array([f"s{index % 3}" for index in range(600)] + ["uploads"] * 100)
    generators = np.array(["real" if label == 0 else "sdxl" for label in labels[:600]] + ["novel"] * 100)
    origins = np.array([Origin.RECIPE.value] * 600 + [Origin.NEW.value] * 100, dtype="U7")
    hashes = np.array([f"{index:08x}" for index in range(700)])
    sure = np.where(labels == 1, 0.985, 0.015) + rng.uniform(-0.01, 0.01, 700)
    missing = sure.copy()
    missing[600:] = 0.015 + rng.uniform(-0.01, 0.01, 100)
    images = ComparedImages(labels, sources, generators, hashes, origins)
    return Case(images, Opinion("old-1", missing, figures()), Opinion("new-1", sure, figures()))


def judged(case: Case, probabilities: Any, rows: Any) -> Case:
    """Let the challenger say something else of some rows."""
    changed = case.challenger.probabilities.copy()
    changed[rows] = probabilities
    return replace(case, challenger=replace(case.challenger, probabilities=changed))


def test_a_bundle_that_finds_the_new_and_keeps_the_old_passes_every_rule(case: Case) -> None:
    passed, rules = case.rules()
    assert passed, [rule for rule in rules.values() if not rule["passed"]]
    found = rules["finds more of the new at 1 % false positives"]
    assert found["champion"] < 0.2
    assert found["challenger"] > 0.9
    assert found["interval_95"][0] > 0.5
    assert {"source s0", "source s1", "source s2", "generator real", "generator sdxl"} < rules.keys()
    assert all(rule["why"] for rule in rules.values())


def test_the_same_bundle_is_not_promoted(case: Case) -> None:
    failed = replace(case, challenger=case.champion).failed()
    assert failed == ["another bundle", "finds more of the new at 1 % false positives"]


def test_a_bundle_that_says_the_same_is_not_promoted(case: Case) -> None:
    twin = replace(case.champion, version="new-1")
    assert replace(case, challenger=twin).failed() == ["finds more of the new at 1 % false positives"]


def test_flipped_labels_are_stopped_by_what_is_known(case: Case) -> None:
    # New "labels" call photographs like those of source s0 AI-generated, and the challenger has learnt to.
    s0_photographs = (case.images.sources == "s0") & (case.images.labels == 0)
    poisoned = judged(case, 0.98, s0_photographs)
    failed = poisoned.failed()
    assert {"keeps what is known", "source s0", "generator real", "accuses no more than the budget here"} <= set(failed)
    assert "source s1" not in failed


def test_flipped_labels_that_were_not_learnt_improve_nothing(case: Case) -> None:
    # The images of the gate carry flipped labels too: both bundles rightly disagree with them.
    labels = case.images.labels.copy()
    labels[600:] = 1
    right = np.concatenate([case.champion.probabilities[:600], np.full(100, 0.02)])
    poisoned = replace(
        case,
        images=replace(case.images, labels=labels),
        challenger=replace(case.challenger, probabilities=right),
    )
    assert "finds more of the new at 1 % false positives" in poisoned.failed()


def test_few_images_are_stopped(case: Case) -> None:
    few = np.concatenate([np.arange(150), np.arange(600, 620)])
    images = ComparedImages(**{name: value[few] for name, value in vars(case.images).items()})
    cut = Case(
        images,
        replace(case.champion, probabilities=case.champion.probabilities[few]),
        replace(case.challenger, probabilities=case.challenger.probabilities[few]),
    )
    expected = {"enough new images (AI-generated)", "enough negatives", "enough known images"}
    assert expected <= set(cut.failed())


def test_a_group_with_few_images_is_named_and_not_judged(case: Case) -> None:
    sources = case.images.sources.copy()
    sources[:5] = "tiny"
    report = gate(replace(case.images, sources=sources), case.champion, case.challenger, TERMS)
    assert report["not_judged"] == [{"name": "source tiny", "images": 5}]
    assert "source tiny" not in {rule["name"] for rule in report["rules"]}


def test_a_group_may_lose_what_is_within_doubt_and_no_more(case: Case) -> None:
    s1 = np.flatnonzero((case.images.sources == "s1") & (case.images.labels == 1))
    assert "source s1" not in judged(case, 0.4, s1[:2]).failed()
    assert "source s1" in judged(case, 0.4, s1[:20]).failed()


def test_small_losses_everywhere_are_stopped_though_no_group_shows_them(case: Case) -> None:
    losing = judged(case, 0.4, np.flatnonzero(case.images.labels[:600])[::50])
    assert losing.failed(replace(TERMS, margin=0.015)) == ["keeps what is known"]


def test_a_certificate_that_does_not_hold_stops(case: Case) -> None:
    few = replace(case, challenger=replace(case.challenger, figures=figures(count=100)))
    passed, rules = few.rules()
    rule = rules["the false-positive certificate holds"]
    assert (passed, rule["passed"]) == (False, False)
    assert "more than 100 negatives" in rule["why"]


def test_a_worse_calibration_stops(case: Case) -> None:
    # Every image stays on its side of every cut, but the probabilities say too little.
    timid = 0.5 + 0.3 * (case.challenger.probabilities - 0.5)
    softened = replace(case, challenger=replace(case.challenger, probabilities=timid, figures=figures(0.356)))
    assert softened.failed() == ["is calibrated no worse"]


def test_earlier_labels_must_be_replayed_and_kept(case: Case) -> None:
    assert case.failed(earlier=50) == ["earlier labels are replayed"]
    origins = case.images.origins.copy()
    origins[:60] = Origin.EARLIER
    replayed = replace(case, images=replace(case.images, origins=origins))
    assert replayed.failed(earlier=50) == []
    assert "earlier labels" in judged(replayed, 0.5 - 0.1, np.flatnonzero(case.images.labels[:60])).failed(earlier=50)


def test_accusations_that_were_put_right_count_as_new(case: Case) -> None:
    labels = case.images.labels.copy()
    labels[600:] = 0
    accused = case.champion.probabilities.copy()
    accused[600:] = 0.985
    freed = accused.copy()
    freed[600:] = 0.01
    corrected = Case(
        replace(case.images, labels=labels),
        replace(case.champion, probabilities=accused),
        replace(case.challenger, probabilities=freed),
    )
    passed, rules = corrected.rules()
    assert passed, [rule for rule in rules.values() if not rule["passed"]]
    assert rules["enough new images (not AI-generated)"]["images"] == 100


def test_a_few_misses_among_many_accusations_do_not_hide_these(case: Case) -> None:
    labels = case.images.labels.copy()
    labels[620:] = 0
    accused = case.champion.probabilities.copy()
    accused[620:] = 0.985
    freed = case.challenger.probabilities.copy()
    freed[620:] = 0.01
    images = replace(case.images, labels=labels)
    champion, challenger = (
        replace(opinion, probabilities=chances)
        for opinion, chances in ((case.champion, accused), (case.challenger, freed))
    )
    passed, rules = Case(images, champion, challenger).rules()
    assert passed, [rule for rule in rules.values() if not rule["passed"]]
    assert rules["enough new images (not AI-generated)"]["images"] == 80
    assert not Case(images, champion, replace(challenger, probabilities=accused)).rules()[0]


def test_the_paired_measures_are_those_of_the_report(case: Case) -> None:
    labels, probabilities = case.images.labels, case.champion.probabilities
    report = measure(labels, probabilities)
    assert tpr_at_low_fpr(labels, probabilities) == pytest.approx(report["tpr_at_fpr_1pct"])
    pair = calibration_error(labels, probabilities, case.challenger.probabilities, case.images.hashes)
    assert pair.champion == pytest.approx(report["ece_15"])
    assert accuracy(labels, probabilities, probabilities, case.images.hashes).champion == report["accuracy"]


def test_the_bootstrap_agrees_with_theory() -> None:
    # 1,000 images, of which 100 became right and 40 wrong: the variance of the mean is (p + q - (p - q)^2) / n.
    labels = np.ones(1000, dtype=np.int8)
    old = np.array([0.1] * 100 + [0.9] * 900)
    new = np.array([0.9] * 100 + [0.1] * 40 + [0.9] * 860)
    pair = accuracy(labels, old, new, np.arange(1000).astype(str))
    half = 1.96 * ((0.1 + 0.04 - 0.06**2) / 1000) ** 0.5
    assert [pair.low, pair.high] == pytest.approx([0.06 - half, 0.06 + half], abs=0.004)


def test_sources_are_drawn_whole_where_there_are_enough() -> None:
    rng = np.random.default_rng(0)
    sources = np.repeat([f"s{index}" for index in range(12)], 50)
    hashes = np.arange(600).astype(str)
    assert clusters_of(sources, hashes) is sources
    assert clusters_of(sources[:300], hashes[:300])[0] == "0"
    # One source alone gains: drawn whole, that may well be chance.
    labels = np.tile(np.array([0, 1], dtype=np.int8), 300)
    old = np.where(labels == 1, 0.9, 0.1) + rng.uniform(-0.05, 0.05, 600)
    old[sources == "s3"] = 0.1
    new = np.where(labels == 1, 0.9, 0.1)
    by_source = found_at_low_rate(labels, old, new, sources)
    by_image = found_at_low_rate(labels, old, new, hashes)
    assert by_source.low <= 0.0 < by_image.low
    assert DRAWS >= 1000


def test_the_page_holds_every_rule_and_fetches_nothing(case: Case) -> None:
    report = gate(case.images, case.champion, case.challenger, TERMS)
    page = render_gate(report, {"recipe": "wild", "code": "<script>"})
    assert [rule["name"] for rule in report["rules"] if rule["name"].replace("&", "&amp;") not in page] == []
    assert "&lt;script&gt;" in page
    assert not [mark for mark in ("http://", "https://", "<script", "@import", "url(") if mark in page]
