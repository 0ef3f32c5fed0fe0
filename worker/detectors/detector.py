"""What every detector is: image views → logit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from worker.images.views import cut_views

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

    from worker.images.views import ViewPlan

# Detectors see pixels as (x / 255 - 0.5) / 0.25: about zero mean and unit spread, whatever the data set.
PIXEL_MEAN = 0.5
PIXEL_SPREAD = 0.25
# On a CPU a pass over more pixels than this is slower: its activations outgrow the caches and what malloc keeps at
# hand. Smaller passes cost more turns at the interpreter's lock, which a worker's other threads want too.
_CPU_PASS_PIXELS = 40 * 64 * 64
_SMALLEST_CPU_PASS = 8


@runtime_checkable
class Detector(Protocol):
    """One opinion on an image. The network behind it is shared, so only one thread may run it."""

    name: str
    plan: ViewPlan
    network: nn.Module

    def views(self, image: Image.Image) -> Tensor:
        """Cut the views of an image: uint8, (V, 3, H, W), on the CPU; safe in many threads at once."""
        ...

    def logits(self, views: Tensor) -> Tensor:
        """Judge a batch: (B, V, 3, H, W) uint8 → (B,) float32, positive = AI-generated; device thread only."""
        ...

    def view_logits(self, pixels: Tensor) -> Tensor:
        """Judge single views: (N, 3, H, W) float32 normalised → (N,) float32, differentiable."""
        ...

    def heatmap_layer(self) -> nn.Module:
        """Name the layer whose activations Grad-CAM weighs."""
        ...


class OneNetwork:
    """A detector that cuts its views by a plan and judges each by itself: what all of them have in common."""

    plan: ViewPlan
    network: nn.Module

    def views(self, image: Image.Image) -> Tensor:
        """Cut the views of an image: uint8, (V, 3, H, W), on the CPU; safe in many threads at once."""
        return torch.from_numpy(cut_views(image, self.plan))

    def view_logits(self, pixels: Tensor) -> Tensor:
        """Judge single views: (N, 3, H, W) float32 normalised → (N,)."""
        logits: Tensor = self.network(pixels)
        return logits

    def logits(self, views: Tensor) -> Tensor:
        """Judge a batch by the mean over views: (B, V, 3, H, W) uint8 → (B,) float32; device thread only."""
        batch, count = views.shape[:2]
        passes = torch.split(views.flatten(0, 1), views_in_a_pass(views))  # of (N, 3, H, W)
        logits = [self.view_logits(normalise(part)).float() for part in passes]
        return torch.cat(logits).view(batch, count).mean(dim=1)  # (B,)


@runtime_checkable
class Seeing(Protocol):
    """A detector whose logit is a linear function of features that it can tell."""

    def see(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Judge a batch: (B, V, 3, H, W) uint8 → (B,) logits and (B, F) features, float32; device thread only."""
        ...

    def judge_seen(self, features: Tensor) -> Tensor:
        """Judge what `see` told, perhaps with another head: (B, F) → (B,) float32; device thread only."""
        ...


@runtime_checkable
class Additive(Protocol):
    """A detector that can say what each place in the picture adds to its logit."""

    def evidence(self, pixels: Tensor) -> Tensor:
        """Say what each cell adds to the logit: (N, 3, H, W) float32 normalised → (N, h, w) float32."""
        ...


def normalise(views: Tensor) -> Tensor:
    """Turn uint8 pixels of any shape into float32 of about zero mean and unit spread."""
    return (views.float() / 255.0 - PIXEL_MEAN) / PIXEL_SPREAD


def views_in_a_pass(views: Tensor) -> int:
    """Say how many of a batch's views, (B, V, 3, H, W), are best judged at once on their device."""
    batch, count, _, height, width = views.shape
    if views.device.type != "cpu":
        return batch * count
    return max(_SMALLEST_CPU_PASS, _CPU_PASS_PIXELS // (height * width))
