"""Eager torch: runs anything, differentiable, the slowest; the other engines fall back on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from worker.detectors.pixels import normalise

if TYPE_CHECKING:
    from collections.abc import Callable

# On a CPU a pass over more pixels than this is slower: its activations outgrow the caches and what malloc keeps at
# hand. Smaller passes cost more turns at the interpreter's lock, which a worker's other threads want too.
_CPU_PASS_PIXELS = 40 * 64 * 64
_SMALLEST_CPU_PASS = 8


class Engine(Protocol):
    """Runs the body of a detector's network: pixels in, features out.

    Attributes:
        name: `torch` or `openvino`.
        precision: `fp32` or `bf16`.
    """

    @property
    def name(self) -> str:
        """Name the engine."""
        ...

    @property
    def precision(self) -> str:
        """Return the precision."""
        ...

    def __call__(self, views: Tensor) -> Tensor:
        """Run (N, 3, H, W) uint8 views: (N, F) float32 on the same device. Device thread only."""
        ...


class Body(nn.Module):
    """The part of a detector that an engine runs: (N, 3, H, W) uint8 → (N, F) float32."""

    def __init__(self, network: nn.Module, features: Callable[[Tensor], Tensor]) -> None:
        """Keep the network, so that its weights are found, and the function that runs it on normalised pixels."""
        super().__init__()
        self.network = network
        self._features = features

    def forward(self, views: Tensor) -> Tensor:
        """Return the features of views, which are normalised first."""
        return self._features(normalise(views)).float()


class EagerTorch:
    """Runs a body as it is, in passes that suit the device."""

    name = "torch"
    precision = "fp32"

    def __init__(self, body: nn.Module) -> None:
        self._body = body

    def __call__(self, views: Tensor) -> Tensor:
        """Run (N, 3, H, W) uint8 views: (N, F) float32 on the same device."""
        return torch.cat([self._body(part) for part in torch.split(views, views_in_a_pass(views))])


def views_in_a_pass(views: Tensor) -> int:
    """Return how many of (N, 3, H, W) views are best run at once on their device."""
    count, _, height, width = views.shape
    if views.device.type != "cpu":
        return max(1, count)
    return max(_SMALLEST_CPU_PASS, _CPU_PASS_PIXELS // (height * width))
