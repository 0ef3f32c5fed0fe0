"""CUDA graphs: a body's launches recorded once and replayed, so that a GPU does not wait for Python."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worker.detectors.engine.eager import Body

_PASS = 32  # views of one replay; the last one is filled up with what was there before
_WARM_UPS = 3  # torch asks for a few runs on a stream of its own before it records


class CudaGraphs:
    """Runs a body on a GPU, in passes of one size."""

    name = "cuda-graphs"

    def __init__(self, body: Body, precision: str, size: int, device: torch.device) -> None:
        """Record the body in that precision, `fp32` or `bf16`, for views of (3, size, size)."""
        self.precision = precision
        self._views = torch.zeros(_PASS, 3, size, size, dtype=torch.uint8, device=device)
        self._graph = torch.cuda.CUDAGraph()
        autocast = torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)
        with torch.no_grad(), autocast:
            stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    body(self._views)
            torch.cuda.current_stream(device).wait_stream(stream)
            with torch.cuda.graph(self._graph):
                self._outputs: Tensor = body(self._views)  # (_PASS, F)

    def __call__(self, views: Tensor) -> Tensor:
        """Run (N, 3, H, W) uint8 views: (N, F) float32 on the GPU."""
        return torch.cat([self._run(part) for part in torch.split(views, _PASS)])

    def _run(self, part: Tensor) -> Tensor:
        self._views[: len(part)].copy_(part)
        self._graph.replay()
        return self._outputs[: len(part)].clone()
