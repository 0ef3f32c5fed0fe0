"""Detectors stand in the order in which they counted."""

from worker.decisions.detector_order import has_vote, heaviest_first

DETECTORS = {
    "clip": {"logit": 9.0, "weight": 0.0},
    "lite2": {"logit": -1.0, "weight": 0.5},
    "lite2x2": {"logit": 3.0, "weight": 0.5},
}


def test_what_added_most_comes_first_and_what_has_no_vote_last() -> None:
    assert heaviest_first(DETECTORS, DETECTORS) == ["lite2x2", "lite2", "clip"]
    assert heaviest_first(["clip", "unheard", "lite2"], DETECTORS) == ["lite2", "clip", "unheard"]
    assert [has_vote(one) for one in DETECTORS.values()] == [False, True, True]


def test_detectors_of_older_verdicts_keep_their_order_and_are_taken_to_vote() -> None:
    older = {"clip": {"logit": 9.0}, "convnext": {"logit": 12.0}}
    assert heaviest_first(older, older) == ["clip", "convnext"]
    assert has_vote(older["clip"])
