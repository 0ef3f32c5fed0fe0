"""A challenger scans the share that it was given, and what it would change is counted."""

import pytest

from worker.decisions.shadow import Challenger, Pair, flip_report, obstacles

AI, MAYBE, NOT = "ai_generated", "uncertain", "not_ai_generated"


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_a_challenger_takes_its_share(share: float) -> None:
    taken = sum(Challenger("wild-1", share).takes(image) for image in range(10_000))
    assert taken == pytest.approx(10_000 * share, abs=200)


def test_the_same_images_are_taken_again_and_a_larger_share_takes_them_too() -> None:
    small, large = Challenger("wild-1", 0.1), Challenger("wild-1", 0.3)
    taken = {image for image in range(2000) if small.takes(image)}
    assert taken == {image for image in range(2000) if small.takes(image)}
    assert taken <= {image for image in range(2000) if large.takes(image)}


def test_two_challengers_take_different_images() -> None:
    first, second = ({i for i in range(2000) if Challenger(name, 0.1).takes(i)} for name in ("a", "b"))
    assert len(first & second) < 60


def test_the_report_counts_what_would_change() -> None:
    report = flip_report(
        [
            Pair("avatars", NOT, NOT, 0.1, 0.1, count=8),
            Pair("avatars", NOT, AI, 0.2, 0.9),
            Pair("posts", AI, MAYBE, 0.9, 0.5),
        ]
    )
    assert (report["images"], report["flips"], report["flip_rate"]) == (10, 2, 0.2)
    assert (report["newly_accused"], report["no_longer_accused"]) == (1, 1)
    assert report["matrix"] == {AI: {MAYBE: 1}, NOT: {NOT: 8, AI: 1}}
    assert report["by_source"]["avatars"] == {"images": 9, "flips": 1, "newly_accused": 1}
    assert report["mean_shift"] == pytest.approx(0.03)


def test_a_report_over_nothing_claims_nothing() -> None:
    report = flip_report([])
    assert (report["images"], report["flip_rate"], report["mean_shift"]) == (0, None, None)


def test_a_bundle_is_barred_until_gate_and_shadow_have_passed_it() -> None:
    failed = {"passed": False, "rules": [{"name": "calibration", "passed": False}, {"name": "gain", "passed": True}]}
    assert obstacles({"passed": True, "champion": "wild-1"}, 200, 200, "wild-1") == []
    assert obstacles(None, 200, 200, "wild-1") == ["no gate has compared it with a champion"]
    assert obstacles(failed, 3, 200, "wild-1") == [
        "the gate stopped it (calibration)",
        "it has judged 3 of 200 images in shadow",
    ]


def test_a_gate_that_compared_with_a_bundle_that_serves_no_more_bars_promotion() -> None:
    assert obstacles({"passed": True, "champion": "wild-1"}, 200, 200, "wild-2") == [
        "the gate compared it with wild-1, not with the champion: train it again"
    ]
