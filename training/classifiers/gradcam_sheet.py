"""Grad-CAM sheets: a few test pictures beside what a classifier saw in them, by one layer and by several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from torch import Tensor, nn

from training.classifiers.classifier import Classifier
from worker.detectors.pixels import normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.data.assemble import Rows
    from training.fitting.run import Run

_PICTURES, _CELL = 8, 160


class _Logits(nn.Module):
    """A classifier as grad-cam wants it: (N, 3, H, W) → (N, 1)."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.network = run.detector.network
        self._view_logits = run.detector.view_logits

    def forward(self, pixels: Tensor) -> Tensor:
        return self._view_logits(pixels).unsqueeze(-1)


def sheet(run: Run, rows: Rows) -> Image.Image:
    """Draw one line for each picture: itself, Grad-CAM of the last stage, Grad-CAM over all stages (their mean).

    Of a detector that is no classifier, the second map is the last layer's again.
    """
    which = np.unique(np.linspace(0, len(rows) - 1, _PICTURES).astype(int))
    pictures = [Image.fromarray(rows.pixels[index]) for index in which]
    views = torch.stack([run.detector.views(picture)[0] for picture in pictures])  # (n, 3, H, W), the whole
    last = run.detector.heatmap_layer()
    several = run.detector.heatmap_layers() if isinstance(run.detector, Classifier) else [last]
    with run.averaged.lent_to(run.detector.network):
        maps = [_maps(run, views, layers) for layers in ([last], several)]
    crops = views.permute(0, 2, 3, 1).numpy().astype(np.float32) / 255.0  # (n, H, W, 3)
    page = Image.new("RGB", (3 * _CELL, len(which) * _CELL), "white")
    for line, picture in enumerate(crops):
        cells = [(picture * 255).astype(np.uint8)]
        cells += [show_cam_on_image(picture, of_layers[line], use_rgb=True) for of_layers in maps]
        for column, cell in enumerate(cells):
            page.paste(Image.fromarray(cell).resize((_CELL, _CELL)), (column * _CELL, line * _CELL))
    return page


def _maps(run: Run, views: Tensor, layers: list[nn.Module]) -> NDArray[np.float32]:
    """Explain views (n, 3, H, W) by the mean over layers of each one's Grad-CAM: (n, H, W) in 0…1."""
    pixels = normalise(views).to(run.device).requires_grad_(True)
    cam: Any = GradCAM(_Logits(run), layers, reshape_transform=_as_grid)
    try:
        with torch.enable_grad():
            maps: NDArray[np.float32] = cam(pixels, [_only_logit] * len(views))
    finally:
        cam.activations_and_grads.release()
    return maps


def _only_logit(output: Tensor) -> Tensor:
    return output[0]


def _as_grid(activations: Tensor) -> Tensor:
    """Turn a transformer's tokens (N, 1 + h·w, C) into (N, C, h, w); feature maps pass as they are."""
    if activations.ndim == 4:  # noqa: PLR2004 (N, C, h, w)
        return activations
    side = int((activations.shape[1]) ** 0.5)
    patches = activations[:, activations.shape[1] - side * side :]
    return patches.transpose(1, 2).reshape(len(patches), -1, side, side)
