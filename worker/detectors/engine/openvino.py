"""OpenVINO: several times faster than torch on CPUs, in half precision where the processor has it.

A body is exported once and kept below a cache folder by the hash of all it is made of. Views are run one by one, as
many beside each other as there are threads: that is as fast as batches, and no view's result depends on its
neighbours. Compiled calls hold no interpreter lock. Nothing here speaks to a network: OpenVINO's own `convert_model`,
which reports its use, is not called.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
import torch
from openvino.frontend import FrontEndManager, GeneralFailure, OpConversionFailure
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.detectors.engine.eager import Body

_HINTS = {"fp32": "f32", "bf16": "bf16"}
# What OpenVINO and torch raise where a body has an operation that cannot be exported or compiled.
CANNOT_EXPORT = (
    GeneralFailure,
    OpConversionFailure,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
)


def cpu_precisions() -> tuple[str, ...]:
    """Name the precisions to try on this processor, the fastest first."""
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("bf16", "fp32") if "BF16" in able else ("fp32",)


class OpenVinoEngine:
    """Runs an exported body on the CPU."""

    name = "openvino"

    def __init__(self, model: openvino.Model, precision: str, threads: int) -> None:
        """Compile for that precision, `fp32` or `bf16`, with so many views beside each other."""
        self.precision = precision
        config = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "NUM_STREAMS": str(threads),
            "INFERENCE_NUM_THREADS": str(threads),
            # Pinned, the threads of several processes would share the same cores and leave others idle.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = openvino.Core().compile_model(model, "CPU", config)
        self._width = int(compiled.output(0).shape[1])
        self._queue = openvino.AsyncInferQueue(compiled, threads)
        self._queue.set_callback(_keep)

    def __call__(self, views: Tensor) -> Tensor:
        """Run (N, 3, H, W) uint8 views: (N, F) float32."""
        pixels = views.contiguous().numpy()
        features = np.empty((len(pixels), self._width), dtype=np.float32)
        for row in range(len(pixels)):
            self._queue.start_async({0: pixels[row : row + 1]}, (features, row), share_inputs=True)
        self._queue.wait_all()
        return torch.from_numpy(features)


def _keep(request: openvino.InferRequest, place: tuple[NDArray[np.float32], int]) -> None:
    features, row = place
    features[row] = request.get_output_tensor(0).data[0]


def export(body: Body, size: int, cache: Path | None, content: str) -> openvino.Model:
    """Export a body for single views of (3, size, size), or read it from the cache.

    Args:
        body: on the CPU.
        size: side of a view in pixels.
        cache: folder of exported bodies; None keeps nothing.
        content: hash of the body's architecture and weights.

    Raises:
        Exception: any of `CANNOT_EXPORT`, where the body has an operation that OpenVINO lacks.
    """
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="assay-export-") as folder:
            return export(body, size, Path(folder), content)
    key = hashlib.sha256(f"{content} {size} {openvino.__version__} {torch.__version__}".encode()).hexdigest()
    file = cache / f"{key[:32]}.xml"
    kept = _read(file)
    if kept is None:
        _store(_exported(body, size), file)
        # Read back, for what was just exported is compiled a little differently, and a result must not change by that.
        kept = _read(file)
    if kept is None:
        raise RuntimeError(f"OpenVINO cannot read what it wrote to {file}")
    return kept


def _read(file: Path) -> openvino.Model | None:
    if not file.is_file():
        return None
    try:
        return openvino.Core().read_model(file)
    except RuntimeError:
        return None  # damaged; it is exported again


def _exported(body: Body, size: int) -> openvino.Model:
    example = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode(mode=False), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of every shape that it takes as fixed; here all are
        traced: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
            body, example, check_trace=False
        )
        decoder = TorchScriptPythonDecoder(traced, example_input=example)
    frontend: Any = FrontEndManager().load_by_framework("pytorch")
    model: openvino.Model = frontend.convert(frontend.load(decoder))
    model.reshape([1, 3, size, size])
    return model


def _store(model: openvino.Model, file: Path) -> None:
    """Write a model's two files; the one that names the other comes last, in one move."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=file.parent) as folder:
        half = Path(folder) / file.name
        openvino.save_model(model, half, compress_to_fp16=False)
        os.replace(half.with_suffix(".bin"), file.with_suffix(".bin"))  # noqa: PTH105 (one atomic move)
        os.replace(half, file)  # noqa: PTH105
