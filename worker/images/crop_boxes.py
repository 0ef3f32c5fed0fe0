"""Where native crops are cut from an image; without NumPy, so that the console can frame them on the picture."""

from __future__ import annotations

# Where native crops sit, as fractions of the room left of and above them: the centre first, then the diagonals.
CROP_POSITIONS = ((0.5, 0.5), (0.15, 0.15), (0.85, 0.85), (0.85, 0.15), (0.15, 0.85))

Box = tuple[int, int, int, int]


def crop_boxes(image_size: tuple[int, int], size: int, crops: int) -> list[Box]:
    """Say where so many crops of (size, size) are cut: (left, top, right, bottom) in pixels of the image."""
    return [crop_box(image_size, size, *position) for position in CROP_POSITIONS[:crops]]


def crop_box(image_size: tuple[int, int], size: int, across: float, down: float) -> Box:
    """Say where one crop is cut, at a place between the left and right edge and one between the upper and lower."""
    width, height = image_size
    left = round(max(0, width - size) * across)
    top = round(max(0, height - size) * down)
    return left, top, min(width, left + size), min(height, top + size)


def limit_crops(wholes: int, crops: int, most_views: int) -> int:
    """Count the crops that are left where an image may have so many views, 0 for as many as there are."""
    return max(min(crops, most_views - wholes), 1 - wholes) if most_views else crops
