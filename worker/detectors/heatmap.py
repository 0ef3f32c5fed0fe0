"""Heatmaps: where in the image a detector found what raised its logit (Grad-CAM, Selvaraju et al. 2017).

The SRM detector, whose functions of counts are linear, tells by itself what each cell adds; no gradient is needed.

The grad-cam library does the work, but stretches each map to 0…1, so that the map of an image that is surely a
photograph glows like any other. That scaling is taken out: raw values can be compared between images.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from worker.detectors.detector import Additive
from worker.detectors.pixels import normalise
from worker.images.decode import PREVIEW_SIDE
from worker.images.views import view_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from worker.detectors.detector import Detector
    from worker.images.views import ViewPlan

# The longer side of a heatmap in cells; the networks see no finer than this.
_CELLS = 64
_OVERLAY_STRENGTH = 0.65
_QUICK = 1  # PNG's level of compression: a tenth more bytes in a third of the time
_NOTHING = 1e-12
_SEVERAL = 2
# On a CPU, pixels of one pass, two views of 224 by 224: more outgrow the caches, and what a pass keeps of so many
# layers is some hundred megabytes a view.
_CPU_PASS_PIXELS = 2 * 224 * 224


class Method(StrEnum):
    """How a heatmap is made."""

    GRAD_CAM = "grad-cam"  # one layer's channels, each by its mean gradient
    MULTI_LAYER = "grad-cam-multilayer"  # the mean over two stages of a ConvNeXt, the layer it names and the next
    ELEMENTWISE = "hires-cam"  # one layer, each cell by its own gradient (HiResCAM, arXiv:2011.08891)
    ADDITIVE = "additive"  # what each cell adds to the logit, where a detector can tell


@dataclass(frozen=True)
class Heatmap:
    """Spatial evidence of one detector for one image.

    Attributes:
        detector: its name.
        method: how it was made.
        layer: whose activations were weighed.
        raw: float32 (h, w), 0 and up, covering the whole image; 0 where the detector did not look. The mean over what
            it looked at is about what this evidence added to the logit, so maps of different images compare.
    """

    detector: str
    method: str
    layer: str
    raw: NDArray[np.float32]


# What a detector without stages is explained by, where Grad-CAM's mean over cells means little.
_OF_ONE_LAYER = {"clip": Method.ELEMENTWISE, "srm": Method.ADDITIVE}


class _ViewLogits(nn.Module):
    """A detector as grad-cam wants it: (N, 3, H, W) → (N, 1)."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.network = detector.network
        self.view_logits = detector.view_logits

    def forward(self, pixels: Tensor) -> Tensor:
        return self.view_logits(pixels).unsqueeze(-1)


def explained_layers(detector: Detector, method: Method | None = None) -> tuple[Method, list[nn.Module]]:
    """Return a method and the layers it weighs.

    Args:
        detector: any.
        method: None for the detector's own: several layers where it has stages, cell by cell where it has tokens. A
            token's gradient says little of the other tokens': weighed by the mean over all of them, a planted mark
            was found no more often than by chance. Several layers are asked of detectors with stages alone.
    """
    stages = list(getattr(detector.network, "stages", nn.Sequential()).children())
    if method is None:
        several = len(stages) >= _SEVERAL
        method = Method.MULTI_LAYER if several else _OF_ONE_LAYER.get(detector.name, Method.GRAD_CAM)
    layer = detector.heatmap_layer()
    if method is not Method.MULTI_LAYER:
        return method, [layer]
    # Stages after these may only halve the picture further: a map of one cell shows nothing.
    last = len(stages) - _SEVERAL
    first = min(stages.index(layer), last) if layer in stages else last
    return method, stages[first : first + _SEVERAL]


def grad_cam(
    detector: Detector, views: Tensor, sizes: Sequence[tuple[int, int]], method: Method | None = None
) -> list[Heatmap]:
    """Explain a batch at once, in float32; every hook is released before it returns. Not all methods need gradients.

    Args:
        detector: on the device the views are on.
        views: uint8 (B, V, 3, H, W).
        sizes: (width, height) of each image, B of them.
        method: as for :func:`explained_layers`.
    """
    batch, count = views.shape[:2]
    method, layers = explained_layers(detector, method)
    drawn = partial(_added, detector) if method is Method.ADDITIVE else partial(_raw_maps, detector, method, layers)
    flat = views.flatten(0, 1)
    side = views.shape[-1] * getattr(getattr(detector, "architecture", None), "enlarge", 1)  # as the network sees them
    together = _CPU_PASS_PIXELS // side**2 if views.device.type == "cpu" else len(flat)
    maps = np.concatenate([drawn(normalise(part)) for part in torch.split(flat, max(1, together))])  # (B·V, h, w)
    maps = maps.reshape(batch, count, *maps.shape[1:])
    name = "+".join(_layer_name(detector, layer) for layer in layers)
    return [
        Heatmap(detector=detector.name, method=method, layer=name, raw=_over_image(of_views, size, detector.plan))
        for of_views, size in zip(maps, sizes, strict=True)
    ]


@torch.no_grad()
def _added(detector: Detector, pixels: Tensor) -> NDArray[np.float32]:
    """Draw what cells add: (N, 3, H, W) → (N, h, w), 0 and up, as `_raw_maps`."""
    if not isinstance(detector, Additive):
        raise TypeError(f"detector {detector.name} does not tell what each cell adds")
    maps: NDArray[np.float32] = detector.evidence(pixels).clamp(min=0.0).cpu().numpy()
    return maps


def _raw_maps(detector: Detector, method: Method, layers: list[nn.Module], pixels: Tensor) -> NDArray[np.float32]:
    """Run grad-cam without its scaling: (N, 3, H, W) → (N, h, w) at the finest layer's size, 0 and up.

    A layer's map has as many cells as the layer; times that number it is a density, in logits over the whole view, so
    that layers of different sizes can be averaged.
    """
    # Imported here because the library pulls in OpenCV and Matplotlib, which only those who ask for maps should load.
    from pytorch_grad_cam import GradCAM, HiResCAM  # noqa: PLC0415

    library: Any = HiResCAM if method is Method.ELEMENTWISE else GradCAM

    class RawCam(library):  # type: ignore[misc]  # the library is untyped
        """The library's method, but it leaves every map at the layer's size and in units of the logit."""

        def compute_cam_per_layer(
            self,
            input_tensor: Tensor,
            targets: list[nn.Module],
            eigen_smooth: bool,  # noqa: FBT001 (the library's signature)
        ) -> list[NDArray[np.float32]]:
            held = self.activations_and_grads
            maps = []
            for layer, activations, gradients in zip(self.target_layers, held.activations, held.gradients, strict=True):
                cam = self.get_cam_image(
                    input_tensor, layer, targets, activations.numpy(), gradients.numpy(), eigen_smooth
                )  # (N, h, w)
                maps.append(np.maximum(cam, 0.0)[:, None] * (cam.shape[1] * cam.shape[2]))  # (N, 1, h, w)
            return maps

        def aggregate_multi_layers(self, cam_per_target_layer: list[NDArray[np.float32]]) -> NDArray[np.float32]:
            finest = max((cam.shape[2:] for cam in cam_per_target_layer), key=math.prod)
            same_size = [
                interpolate(torch.from_numpy(cam).float(), size=finest, mode="bilinear", align_corners=False).numpy()
                for cam in cam_per_target_layer
            ]
            averaged: NDArray[np.float32] = np.stack(same_size).mean(axis=0, dtype=np.float32)  # (N, 1, h, w)
            return averaged[:, 0]

    # Weights are frozen, so gradients flow only from where they are asked for: the first layer that is explained. What
    # lies before it is neither kept nor gone back through, which halves the time.
    start = layers[0].register_forward_pre_hook(_asking_for_gradients)
    cam = RawCam(_ViewLogits(detector), layers, reshape_transform=_as_grid)
    # Not a `with` block: the library's swallows an IndexError and goes on without a map.
    try:
        with torch.enable_grad():
            maps: NDArray[np.float32] = cam(pixels, [_only_logit] * len(pixels))
    finally:
        cam.activations_and_grads.release()
        start.remove()
    return maps


def _asking_for_gradients(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    first, *others = inputs
    return first.detach().requires_grad_(True), *others


def _only_logit(output: Tensor) -> Tensor:
    return output[0]


def _as_grid(activations: Tensor) -> Tensor:
    """Turn tokens (N, 1 + h·w, C) into (N, C, h, w), prefix tokens dropped; feature maps pass as they are."""
    if activations.ndim == 4:  # noqa: PLR2004 (N, C, h, w)
        return activations
    side = math.isqrt(activations.shape[1])  # views are square; fewer prefix tokens than would make a larger square
    patches = activations[:, activations.shape[1] - side * side :]  # (N, h·w, C)
    return patches.transpose(1, 2).reshape(len(patches), -1, side, side)


def _layer_name(detector: Detector, layer: nn.Module) -> str:
    names = {id(module): name for name, module in detector.network.named_modules()}
    return str(names[id(layer)])


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
        heat = np.ascontiguousarray(maps[index] if index < plan.cut else maps[index][:, ::-1])
        if index % plan.cut >= plan.wholes:
            heat = _without_mirror(heat, right - left, bottom - top, plan)
        target = (columns.stop - columns.start, rows.stop - rows.start)
        total[rows, columns] += np.asarray(Image.fromarray(heat).resize(target, Image.Resampling.BILINEAR))
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


def looked_at(size: tuple[int, int], plan: ViewPlan) -> NDArray[np.bool_]:
    """Say which cells of an image's heatmap any view covers: (h, w)."""
    anything = np.ones((plan.count, 1, 1), dtype=np.float32)
    return _over_image(anything, size, plan) > 0


def raw_npy(heatmap: Heatmap) -> bytes:
    """Return a heatmap's raw values as a .npy file: float32 (h, w), no pickle."""
    buffer = io.BytesIO()
    np.save(buffer, heatmap.raw.astype(np.float32, copy=False), allow_pickle=False)
    return buffer.getvalue()


def overlay_png(image: Image.Image, heatmap: Heatmap, probability: float) -> bytes:
    """Lay a heatmap over its image for people to look at, as PNG of at most 448 pixels a side.

    Warmth grows with the evidence and with the probability, from nothing at one half: what is judged a photograph is
    shown in plain grey.

    Args:
        image: the image the heatmap is of.
        heatmap: raw evidence.
        probability: calibrated, of the image being AI-generated.
    """
    grey = image.convert("L")
    grey.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    belief = min(max(2.0 * probability - 1.0, 0.0), 1.0)
    evidence = heatmap.raw / max(float(heatmap.raw.max()), _NOTHING)  # (h, w) in 0…1
    strength = Image.fromarray(_bytes(evidence * (belief * _OVERLAY_STRENGTH)))
    # From yellow where evidence is weak to red where it is strong; readable with every common colour blindness on grey.
    yellow = _bytes((1.0 - evidence) * (220.0 / 255.0))
    warmth = Image.fromarray(np.stack([np.full_like(yellow, 255), yellow, np.zeros_like(yellow)], axis=-1))
    smooth = Image.Resampling.BICUBIC
    laid_over = Image.composite(
        warmth.resize(grey.size, smooth), grey.convert("RGB"), strength.resize(grey.size, smooth)
    )
    buffer = io.BytesIO()
    laid_over.save(buffer, format="PNG", compress_level=_QUICK)
    return buffer.getvalue()


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn 0…1 into 0…255."""
    return np.clip(np.round(values * 255.0), 0, 255).astype(np.uint8)
