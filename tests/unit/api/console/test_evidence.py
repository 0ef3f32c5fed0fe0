from typing import Any

from api.console.evidence import compared_in, confusion_in, curves_in, losses_in


def test_a_document_without_curves_has_none() -> None:
    assert curves_in({"held_out": None}) is None


def test_a_confusion_matrix_is_whole_or_none() -> None:
    whole = {"tn": 1, "fp": 2, "fn": 3, "tp": 4}
    assert confusion_in({"confusion": whole}) == whole
    assert confusion_in({"confusion": {"tn": 1}}) is None
    assert confusion_in(None) is None


def test_champion_and_challenger_stand_side_by_side_where_either_was_measured() -> None:
    (only,) = compared_in({"champion": {"auroc": 0.5}, "challenger": {"recall": None}})
    assert (only.name, only.champion, only.challenger) == ("AUROC", "0.500", "\N{EN DASH}")


def test_curves_are_found_wherever_they_are_and_run_from_left_to_right() -> None:
    roc = {"false_positive_rate": [0.0, 1.0, 0.5], "true_positive_rate": [0.0, 1.0, 0.9]}
    found = curves_in({"evaluations": [{"data": "x"}, {"curves": {"roc": roc, "reliability": "torn"}}]})
    assert found is not None
    assert found.roc == [[0.0, 0.5, 1.0], [0.0, 0.9, 1.0]]
    assert (found.precision_recall, found.reliability, found.histogram) == (None, None, None)


def test_bins_and_histograms_become_points() -> None:
    bins = [{"mean_probability": 0.1, "ai_generated_share": 0.2}, {"images": 3}]
    histogram = {"edges": [0.0, 0.5, 1.0], "not_ai_generated": [3, 1], "ai_generated": [0, 2]}
    found = curves_in({"curves": {"reliability": bins, "histogram": histogram}})
    assert found is not None
    assert found.reliability == [[0.1], [0.2]]
    assert found.histogram == [[0.25, 0.75], [3, 1], [0, 2]]


def test_losses_are_kept_by_detector_along_rising_steps() -> None:
    events: list[dict[str, Any]] = [
        {"stage": "data"},
        {"detector": "clip", "step": 1, "loss": 0.7},
        {"detector": "clip", "step": 1, "loss": 0.6},  # told again after a resume
        {"detector": "clip", "step": 2, "loss": 0.5},
        {"detector": "convnext", "step": 1, "loss": float("0.4")},
    ]
    assert losses_in(events) == [
        {"name": "clip", "points": [[1.0, 2.0], [0.7, 0.5]]},
        {"name": "convnext", "points": [[1.0], [0.4]]},
    ]


def test_a_long_run_is_thinned() -> None:
    (line,) = losses_in([{"step": step, "loss": 1.0} for step in range(5000)])
    assert 300 < len(line["points"][0]) <= 400
    assert len(line["points"][0]) == len(line["points"][1])
