"""A guard around an engine: what is not finite is run again by eager torch, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from worker.detectors.engine.eager import Engine


class GuardedEngine:
    """Runs an engine; falls back on another for a batch that has NaN or infinity."""

    def __init__(self, engine: Engine, fallback: Engine, count: Callable[[], None]) -> None:
        """Keep both, and what is called for each batch that falls back."""
        self._engine = engine
        self._fallback = fallback
        self._count = count
        self._ran = engine

    @property
    def name(self) -> str:
        """Name what ran last: the engine, or for a batch that fell back the other."""
        return self._ran.name

    @property
    def precision(self) -> str:
        """Return the precision of what ran last."""
        return self._ran.precision

    def __call__(self, views: Tensor) -> Tensor:
        """Run (N, 3, H, W) uint8 views: (N, F) float32."""
        self._ran, features = self._engine, self._engine(views)
        if bool(torch.isfinite(features).all()):
            return features
        self._count()
        self._ran = self._fallback
        return self._fallback(views)
