import pytest

from worker.images.crop_boxes import CROP_POSITIONS, crop_boxes, limit_crops
from worker.images.views import ViewPlan, view_boxes


@pytest.mark.parametrize("image_size", [(300, 200), (40, 500), (1, 1)])
def test_crops_are_where_views_are_cut(image_size: tuple[int, int]) -> None:
    for crops in range(1, len(CROP_POSITIONS) + 1):
        assert crop_boxes(image_size, 64, crops) == view_boxes(image_size, ViewPlan(64, 0, crops))


def test_crops_never_leave_the_image() -> None:
    for left, top, right, bottom in crop_boxes((90, 50), 64, 5):
        assert 0 <= left < right <= 90
        assert 0 <= top < bottom <= 50


@pytest.mark.parametrize(
    ("wholes", "crops", "most", "left"), [(0, 5, 0, 5), (0, 5, 2, 2), (1, 5, 2, 1), (1, 5, 1, 0), (0, 3, 1, 1)]
)
def test_of_few_views_the_whole_goes_last(wholes: int, crops: int, most: int, left: int) -> None:
    assert limit_crops(wholes, crops, most) == left
