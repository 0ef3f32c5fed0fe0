"""Views: what is cut from an image for detectors to look at; NumPy alone, so that a decoder process can do it.

Two kinds, both pure functions of the pixels: the *reduced whole* (the image squeezed to a square) shows what
the picture is; *native crops* keep the original pixels, where the traces of generators and cameras live.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from worker.images.crop_boxes import CROP_POSITIONS, crop_box, crop_boxes, limit_crops

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Quality is measured on a centre crop of at most this many pixels a side: enough for stable statistics.
QUALITY_SIDE = 224
COVARIATE_NAMES = ("sharpness", "blockiness")
_JPEG_BLOCK = 8


@dataclass(frozen=True)
class ViewPlan:
    """Which views a detector sees: `wholes` (0 or 1) reduced wholes, then `crops` native crops, all `size` square.

    With `mirrored`, all of them again with left and right changed: twice the work, for small views that can bear it.
    """

    size: int
    wholes: int
    crops: int
    mirrored: bool = False

    def __post_init__(self) -> None:
        """Refuse plans that give no view, or more crops than there are places for them."""
        if self.size < 1 or self.wholes not in {0, 1} or not 0 <= self.crops <= len(CROP_POSITIONS):
            message = f"impossible view plan: {self}"
            raise ValueError(message)
        if self.wholes + self.crops == 0:
            message = "a view plan needs at least one view"
            raise ValueError(message)

    @property
    def count(self) -> int:
        """V, the number of views of every image."""
        return self.cut * 2 if self.mirrored else self.cut

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(V, 3, H, W) of the views of every image."""
        return self.count, 3, self.size, self.size

    @property
    def cut(self) -> int:
        """Count the views that come first, as the image shows them."""
        return self.wholes + self.crops

    def limited(self, most: int) -> ViewPlan:
        """Return a plan of at most so many views, 0 for as many as there are: mirrored ones go first, then crops."""
        if not most or self.count <= most:
            return self
        return replace(self, crops=limit_crops(self.wholes, self.crops, most), mirrored=False)

    def to_json(self) -> dict[str, Any]:
        """Give plain values; what is not mirrored says nothing of it, as bundles from before that was possible."""
        return {key: value for key, value in asdict(self).items() if key != "mirrored" or value}


@dataclass(frozen=True)
class PreparedImage:
    """An image made ready for a bundle.

    Attributes:
        views: uint8 (V, 3, H, W) by detector name.
        covariates: quality measures, in the order of COVARIATE_NAMES.
        size: (width, height) of the image in pixels.
    """

    views: Mapping[str, NDArray[np.uint8]]
    covariates: tuple[float, ...]
    size: tuple[int, int]


def prepare(image: Image.Image, plans: Mapping[str, ViewPlan]) -> PreparedImage:
    """Cut every view that a bundle needs of an image, by detector name."""
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    views = {name: cut_views(rgb, plan) for name, plan in plans.items()}
    return PreparedImage(views, quality_covariates(rgb), rgb.size)


def cut_views(image: Image.Image, plan: ViewPlan) -> NDArray[np.uint8]:
    """Cut the planned views of an image of any size from 1x1 up.

    Returns:
        uint8 array of shape (V, 3, size, size), the reduced whole first, mirrored ones last.
    """
    views = [reduced_whole(image, plan.size)] if plan.wholes else []
    views += [native_crop(image, plan.size, across, down) for across, down in CROP_POSITIONS[: plan.crops]]
    views += [view[:, ::-1] for view in views] if plan.mirrored else []
    stacked = np.stack(views)  # (V, H, W, 3)
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))  # (V, 3, H, W)


def reduced_whole(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Squeeze the whole image to (size, size, 3) uint8; an image of that size already passes unchanged."""
    rgb = image.convert("RGB")
    # reducing_gap lets Pillow shrink big photographs by whole factors first: several times faster, same look.
    return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0))


def native_crop(image: Image.Image, size: int, across: float, down: float) -> NDArray[np.uint8]:
    """Cut (size, size, 3) uint8 of untouched pixels; what an image lacks is filled with its mirror image.

    Args:
        image: any mode and size.
        size: side of the crop in pixels.
        across: place between the left (0.0) and right (1.0) edge.
        down: place between the top (0.0) and bottom (1.0) edge.
    """
    crop = np.asarray(image.crop(crop_box(image.size, size, across, down)).convert("RGB"))  # (<=size, <=size, 3)
    lacking = ((0, size - crop.shape[0]), (0, size - crop.shape[1]), (0, 0))
    return np.pad(crop, lacking, mode="symmetric") if any(after for _, after in lacking) else crop


def view_boxes(image_size: tuple[int, int], plan: ViewPlan) -> list[tuple[int, int, int, int]]:
    """Say where each view was cut from: (left, top, right, bottom) in pixels of the image, V of them."""
    wholes = [(0, 0, *image_size)] * plan.wholes
    boxes = wholes + crop_boxes(image_size, plan.size, plan.crops)
    return boxes * 2 if plan.mirrored else boxes


def coverage(image_size: tuple[int, int], plan: ViewPlan) -> float:
    """Say how much of an image its native crops cover, in crops: 1.0 where all are the same, at most `plan.crops`."""
    if not plan.crops:
        return 1.0
    boxes = np.array(crop_boxes(image_size, plan.size, plan.crops))
    across, down = np.unique(boxes[:, ::2]), np.unique(boxes[:, 1::2])
    covered = np.zeros((len(down) - 1, len(across) - 1), dtype=bool)
    for left, top, right, bottom in boxes:
        rows = slice(*np.searchsorted(down, (top, bottom)))
        covered[rows, slice(*np.searchsorted(across, (left, right)))] = True
    left, top, right, bottom = boxes[0]
    area = (np.diff(down)[:, None] * np.diff(across) * covered).sum()
    return float(area / ((right - left) * (bottom - top)))


def quality_covariates(image: Image.Image) -> tuple[float, ...]:
    """Measure what the fusion may lean on besides logits, named by COVARIATE_NAMES.

    Sharpness is the log of the mean absolute second difference (about -3 for flat, 4 for noise); blockiness the
    log ratio of steps across the 8x8 JPEG grid to steps elsewhere, taken at the grid's likeliest offset. Size is
    deliberately not among them: it would teach the fusion how collections were made.
    """
    side = min(QUALITY_SIDE, *image.size) if min(image.size) > _JPEG_BLOCK else QUALITY_SIDE
    grey = native_crop(image, side, 0.5, 0.5)[..., 1].astype(np.float32)  # (side, side), green standing for brightness
    steps = np.abs(np.diff(grey, axis=1)).mean(axis=0)  # (side - 1,)
    second = np.abs(np.diff(grey, n=2, axis=1)).mean()
    by_offset = np.array([steps[offset::_JPEG_BLOCK].mean() for offset in range(_JPEG_BLOCK)])
    grid = by_offset.max()
    elsewhere = (by_offset.sum() - grid) / (_JPEG_BLOCK - 1)
    floor = 0.05
    return float(np.log(second + floor)), float(np.log((grid + floor) / (elsewhere + floor)))
