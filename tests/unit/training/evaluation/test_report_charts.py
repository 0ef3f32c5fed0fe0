import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from training.evaluation import report_charts as charts

_STAND_INS = (charts.INK, charts.FAINT, charts.AI, charts.REAL, charts.MARK, charts.CARD)
_ROC = {"false_positive_rate": [0.0, 0.001, 0.2, 1.0], "true_positive_rate": [0.0, 0.4, 0.9, 1.0]}
_BINS = [{"images": 5, "mean_probability": 0.1, "ai_generated_share": 0.0}]
_GROUP = {"accuracy": 0.5, "images": 1234, "intervals_95": {"accuracy": [0.4, 0.6]}}
_CHANGES: dict[str, dict[str, float | None]] = {
    "unchanged": {"auroc": 0.9, "accuracy": 0.8},
    "blur": {"auroc": None, "accuracy": 0.6},
}

DRAWINGS: dict[str, Callable[[], str]] = {
    "roc": lambda: charts.roc(_ROC, 0.93),
    "precision_recall": lambda: charts.precision_recall({"recall": [0, 1], "precision": [1, 0.5]}, 0.9, 0.5),
    "reliability": lambda: charts.reliability(_BINS, 0.1),
    "histogram": lambda: charts.histogram(
        {"edges": [0, 0.5, 1], "not_ai_generated": [3, 1], "ai_generated": [0, 2]}, 0.2, 0.9
    ),
    "robustness": lambda: charts.robustness(_CHANGES),
    "groups": lambda: charts.worst_groups({"a<b> $x$": _GROUP}, "sources"),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_chart_is_sound_svg_in_the_page_s_colours_and_the_same_every_time(name: str) -> None:
    drawing = DRAWINGS[name]()
    assert ET.fromstring(drawing).tag.endswith("svg")  # noqa: S314 (drawn here)
    assert not [colour for colour in _STAND_INS if colour in drawing]
    assert "var(--ink)" in drawing
    assert drawing == DRAWINGS[name]()


def test_ids_of_two_charts_never_meet() -> None:
    trees = [ET.fromstring(DRAWINGS[name]()) for name in ("roc", "histogram")]  # noqa: S314 (drawn here)
    first, second = ({element.get("id") for element in tree.iter()} - {None} for tree in trees)
    assert first
    assert not first & second


def test_text_stays_text_and_a_group_s_name_is_no_markup_and_no_formula() -> None:
    drawing = DRAWINGS["groups"]()
    words = "".join(ET.fromstring(drawing).itertext())  # noqa: S314 (drawn here)
    assert "a<b> $x$" in words
    assert "1,234" in words
