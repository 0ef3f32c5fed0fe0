"""Heatmaps: where in the image a detector found what raised its logit (Grad-CAM, Selvaraju et al. 2017).

The grad-cam library does the work, but stretches each map to 0…1, so that the map of an image that is surely a
photograph glows like any other. That scaling is taken out: raw values can be compared between images.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from worker.detectors.detector import normalise
from worker.detectors.views import view_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from worker.detectors.detector import Detector
    from worker.detectors.views import ViewPlan

METHOD = "grad-cam"
# The longer side of a heatmap in cells; the networks see no finer than this.
_CELLS = 64
_OVERLAY_STRENGTH = 0.65
_OVERLAY_SIDE = 1024
_NOTHING = 1e-12


@dataclass(frozen=True)
class Heatmap:
    """Spatial evidence of one detector for one image.

    Attributes:
        detector: its name.
        method: how it was made.
        layer: whose activations were weighed.
        raw: float32 (h, w), 0 and up, covering the whole image; 0 where the detector did not look.
    """

    detector: str
    method: str
    layer: str
    raw: NDArray[np.float32]


class _ViewLogits(nn.Module):
    """A detector as grad-cam wants it: (N, 3, H, W) → (N, 1)."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.network = detector.network
        self.view_logits = detector.view_logits

    def forward(self, pixels: Tensor) -> Tensor:
        return self.view_logits(pixels).unsqueeze(-1)


def grad_cam(detector: Detector, views: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Heatmap]:
    """Explain a batch at once, in float32; every hook is released before it returns.

    Args:
        detector: on the device the views are on.
        views: uint8 (B, V, 3, H, W).
        sizes: (width, height) of each image, B of them.
    """
    batch, count = views.shape[:2]
    # The weights are frozen; without this no gradient would flow, and every map would be missing.
    pixels = normalise(views.flatten(0, 1)).requires_grad_(True)  # (B·V, 3, H, W)
    maps = _raw_maps(detector, pixels)  # (B·V, h, w)
    maps = maps.reshape(batch, count, *maps.shape[1:])
    layer = _layer_name(detector)
    return [
        Heatmap(detector=detector.name, method=METHOD, layer=layer, raw=_over_image(of_views, size, detector.plan))
        for of_views, size in zip(maps, sizes, strict=True)
    ]


def _raw_maps(detector: Detector, pixels: Tensor) -> NDArray[np.float32]:
    """Run grad-cam without its scaling: (N, 3, H, W) → (N, h, w), 0 and up."""
    # Imported here because the library pulls in OpenCV and Matplotlib, which only those who ask for maps should load.
    from pytorch_grad_cam import GradCAM  # noqa: PLC0415

    class RawGradCam(GradCAM):  # type: ignore[misc]  # the library is untyped
        """Grad-CAM that leaves every map at the layer's size and in its own units."""

        def compute_cam_per_layer(
            self,
            input_tensor: Tensor,
            targets: list[nn.Module],
            eigen_smooth: bool,  # noqa: FBT001 (the library's signature)
        ) -> list[NDArray[np.float32]]:
            (activations,), (gradients,) = self.activations_and_grads.activations, self.activations_and_grads.gradients
            cam = self.get_cam_image(
                input_tensor, self.target_layers[0], targets, activations.numpy(), gradients.numpy(), eigen_smooth
            )
            return [np.maximum(cam, 0.0)[:, None]]  # (N, 1, h, w)

        def aggregate_multi_layers(self, cam_per_target_layer: list[NDArray[np.float32]]) -> NDArray[np.float32]:
            return cam_per_target_layer[0][:, 0].astype(np.float32)  # (N, h, w)

    cam = RawGradCam(_ViewLogits(detector), [detector.heatmap_layer()], reshape_transform=_as_grid)
    # Not a `with` block: the library's swallows an IndexError and goes on without a map.
    try:
        with torch.enable_grad():
            maps: NDArray[np.float32] = cam(pixels, [_only_logit] * len(pixels))
    finally:
        cam.activations_and_grads.release()
    return maps


def _only_logit(output: Tensor) -> Tensor:
    return output[0]


def _as_grid(activations: Tensor) -> Tensor:
    """Turn tokens (N, 1 + h·w, C) into (N, C, h, w), prefix tokens dropped; feature maps pass as they are."""
    if activations.ndim == 4:  # noqa: PLR2004 (N, C, h, w)
        return activations
    side = math.isqrt(activations.shape[1])  # views are square; fewer prefix tokens than would make a larger square
    patches = activations[:, activations.shape[1] - side * side :]  # (N, h·w, C)
    return patches.transpose(1, 2).reshape(len(patches), -1, side, side)


def _layer_name(detector: Detector) -> str:
    wanted = detector.heatmap_layer()
    names = {id(module): name for name, module in detector.network.named_modules()}
    return str(names[id(wanted)])


def _over_image(maps: NDArray[np.float32], size: tuple[int, int], plan: ViewPlan) -> NDArray[np.float32]:
    """Lay the maps of an image's views where the views were cut: (V, h, w) → one map of the whole image.

    Where several views looked, their maps are averaged; where none did, the map is 0.
    """
    width, height = size
    scale = _CELLS / max(width, height)
    shape = (max(1, round(height * scale)), max(1, round(width * scale)))
    total, looks = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for index, (left, top, right, bottom) in enumerate(view_boxes(size, plan)):
        rows, columns = _cells(top, bottom, scale, shape[0]), _cells(left, right, scale, shape[1])
        seen = maps[index] if index < plan.wholes else _without_mirror(maps[index], right - left, bottom - top, plan)
        target = (columns.stop - columns.start, rows.stop - rows.start)
        total[rows, columns] += np.asarray(Image.fromarray(seen).resize(target, Image.Resampling.BILINEAR))
        looks[rows, columns] += 1.0
    over_image: NDArray[np.float32] = np.divide(total, np.maximum(looks, 1.0), dtype=np.float32)
    return over_image


def _cells(begin: int, end: int, scale: float, count: int) -> slice:
    first = min(math.floor(begin * scale), count - 1)
    return slice(first, max(first + 1, min(count, math.ceil(end * scale))))


def _without_mirror(cells: NDArray[np.float32], width: int, height: int, plan: ViewPlan) -> NDArray[np.float32]:
    """Drop what lies over the mirror image that filled up a crop of a small image."""
    rows = max(1, math.ceil(cells.shape[0] * height / plan.size))
    columns = max(1, math.ceil(cells.shape[1] * width / plan.size))
    return np.ascontiguousarray(cells[:rows, :columns])


def raw_npy(heatmap: Heatmap) -> bytes:
    """Return a heatmap's raw values as a .npy file: float32 (h, w), no pickle."""
    buffer = io.BytesIO()
    np.save(buffer, heatmap.raw.astype(np.float32, copy=False), allow_pickle=False)
    return buffer.getvalue()


def overlay_png(image: Image.Image, heatmap: Heatmap, probability: float) -> bytes:
    """Lay a heatmap over its image for people to look at, as PNG of at most 1,024 pixels a side.

    Warmth grows with the evidence and with the probability, from nothing at one half: what is judged a photograph is
    shown in plain grey.

    Args:
        image: the image the heatmap is of.
        heatmap: raw evidence.
        probability: calibrated, of the image being AI-generated.
    """
    rgb = image.convert("RGB")
    rgb.thumbnail((_OVERLAY_SIDE, _OVERLAY_SIDE))
    belief = min(max(2.0 * probability - 1.0, 0.0), 1.0)
    evidence = heatmap.raw / max(float(heatmap.raw.max()), _NOTHING)  # (h, w) in 0…1
    smooth = Image.fromarray(evidence.astype(np.float32)).resize(rgb.size, Image.Resampling.BICUBIC)
    alpha = np.clip(np.asarray(smooth), 0.0, 1.0)[..., None] * (belief * _OVERLAY_STRENGTH)  # (H, W, 1)
    grey = np.asarray(rgb.convert("L").convert("RGB"), dtype=np.float32)  # (H, W, 3)
    # From yellow where evidence is weak to red where it is strong; readable with every common colour blindness on grey.
    warmth = np.concatenate(
        [np.full_like(alpha, 255.0), 220.0 * (1.0 - np.asarray(smooth)[..., None]), np.zeros_like(alpha)], axis=2
    )
    blended = grey * (1.0 - alpha) + np.clip(warmth, 0.0, 255.0) * alpha
    buffer = io.BytesIO()
    Image.fromarray(blended.round().astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()
