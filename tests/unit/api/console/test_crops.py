from typing import Any

import pytest

from api.console.crops import crops_in, draw
from worker.images.views import ViewPlan, view_boxes

SQUARE = "64 \N{MULTIPLICATION SIGN} 64 pixels"


def facts(size: int, wholes: int, crops: int, kind: str = "", **views: bool) -> dict[str, Any]:
    return {
        "architecture": {"kind": kind},
        "views": {"size": size, "wholes": wholes, "crops": crops, **views},
        "weights": 1,
    }


def test_frames_are_where_the_detectors_views_were_cut() -> None:
    (crops,) = crops_in({"clip": facts(64, 0, 3)}, ["clip"], (300, 200), 0)
    assert crops.boxes == view_boxes((300, 200), ViewPlan(64, 0, 3))
    assert crops.words == f"3 crops of {SQUARE}, untouched"


def test_words_name_the_whole_the_mirror_and_what_small_pictures_lack() -> None:
    (crops,) = crops_in({"clip": facts(64, 1, 5, mirrored=True)}, ["clip"], (50, 40), 0)
    assert crops.words == (
        f"the whole picture, squeezed to {SQUARE} and 1 crop of {SQUARE}, untouched; "
        "what the picture lacks is filled with its mirror image; all of it mirrored too"
    )


@pytest.mark.parametrize(("kind", "count"), [("encoder", 2), ("", 5)])
def test_the_setting_for_fewer_views_counts_for_encoder_detectors_alone(kind: str, count: int) -> None:
    (crops,) = crops_in({"lite2": facts(64, 0, 5, kind, mirrored=True)}, ["lite2"], (500, 500), 2)
    assert len(crops.boxes) == count
    assert ("mirrored" in crops.words) == (kind != "encoder")


def test_words_say_that_a_network_enlarges_what_it_looks_at() -> None:
    enlarging = facts(64, 0, 1, "encoder")
    enlarging["architecture"]["enlarge"] = 2
    (crops,) = crops_in({"lite2x2": enlarging}, ["lite2x2"], (500, 500), 0)
    assert crops.words == f"1 crop of {SQUARE}, enlarged twice"


@pytest.mark.parametrize("unreadable", [{}, {"clip": None}, {"clip": {"views": {"size": "large"}, "weights": 1}}])
def test_a_card_that_tells_no_plan_frames_nothing(unreadable: dict[str, Any]) -> None:
    assert crops_in(unreadable, ["clip"], (300, 200), 0) == []


def test_the_drawing_has_the_pictures_size_and_one_frame_a_crop() -> None:
    svg = draw((300, 200), [(0, 0, 64, 64), (10, 20, 74, 84), (0, 0, 64, 64)])
    assert 'viewBox="0 0 300 200"' in svg
    assert svg.count('<rect x="10" y="20" width="64" height="64"/>') == 3  # in the mask, and in either line
    assert "style" not in svg
