"""What every detector is: image views → logit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from worker.detectors.engine.eager import Body, EagerTorch
from worker.images.views import cut_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image
    from torch import Tensor, nn

    from worker.detectors.engine.eager import Engine
    from worker.images.views import ViewPlan


@runtime_checkable
class Detector(Protocol):
    """One opinion on an image. The network behind it is shared, so only one thread may run it."""

    name: str
    plan: ViewPlan
    network: nn.Module

    def views(self, image: Image.Image) -> Tensor:
        """Cut the views of an image: uint8, (V, 3, H, W), on the CPU; safe in many threads at once."""
        ...

    def logits(self, views: Tensor, sizes: Sequence[tuple[int, int]] = ()) -> Tensor:
        """Judge a batch: (B, V, 3, H, W) uint8 → (B,) float32, positive = AI-generated; device thread only.

        Args:
            views: of B images.
            sizes: (width, height) in pixels of these images; without them, views count as if all showed the same.
        """
        ...

    def view_logits(self, pixels: Tensor) -> Tensor:
        """Judge single views: (N, 3, H, W) float32 normalised → (N,) float32, differentiable."""
        ...

    def heatmap_layer(self) -> nn.Module:
        """Name the layer whose activations Grad-CAM weighs."""
        ...


class OneNetwork:
    """A detector that cuts its views by a plan and judges each by itself: what all of them have in common.

    Its costly part gives features of a view, which an engine may run; a cheap part judges them.
    """

    name: str
    plan: ViewPlan
    network: nn.Module
    engine: Engine | None = None  # eager torch where there is none

    def views(self, image: Image.Image) -> Tensor:
        """Cut the views of an image: uint8, (V, 3, H, W), on the CPU; safe in many threads at once."""
        return torch.from_numpy(cut_views(image, self.plan))

    def body(self) -> Body:
        """Return the costly part, as engines take it."""
        return Body(self.network, self.features)

    def heatmap_layer(self) -> nn.Module:
        """Name the layer whose activations Grad-CAM weighs."""
        raise NotImplementedError

    def features(self, pixels: Tensor) -> Tensor:
        """Run the costly part: (N, 3, H, W) float32 normalised → (N, F); by default the logits themselves."""
        logits: Tensor = self.network(pixels)
        return logits.unsqueeze(-1)

    def judge(self, features: Tensor) -> Tensor:
        """Judge features: (N, F) → (N,) logits."""
        return features.squeeze(-1)

    def view_logits(self, pixels: Tensor) -> Tensor:
        """Judge single views: (N, 3, H, W) float32 normalised → (N,), differentiable."""
        return self.judge(self.features(pixels))

    def logits(self, views: Tensor, sizes: Sequence[tuple[int, int]] = ()) -> Tensor:  # noqa: ARG002 (a mean needs none)
        """Judge a batch by the mean over views: (B, V, 3, H, W) uint8 → (B,) float32; device thread only."""
        return self.judge(self.run(views)).float().view(views.shape[:2]).mean(dim=1)  # (B,)

    def run(self, views: Tensor) -> Tensor:
        """Run the costly part on a batch: (B, V, 3, H, W) uint8 → (B·V, F) float32; device thread only."""
        engine = self.engine or EagerTorch(self.body())
        return engine(views.flatten(0, 1))


@runtime_checkable
class Seeing(Protocol):
    """A detector whose logit is a linear function of features that it can tell."""

    def see(self, views: Tensor, sizes: Sequence[tuple[int, int]] = ()) -> tuple[Tensor, Tensor]:
        """Judge a batch as `logits`: (B,) logits and (B, F) features, float32; device thread only."""
        ...

    def judge_features(self, features: Tensor) -> Tensor:
        """Judge what `see` told, perhaps with another head: (B, F) → (B,) float32; device thread only."""
        ...


@runtime_checkable
class Additive(Protocol):
    """A detector that can say what each place in the picture adds to its logit."""

    def evidence(self, pixels: Tensor) -> Tensor:
        """Say what each cell adds to the logit: (N, 3, H, W) float32 normalised → (N, h, w) float32."""
        ...
