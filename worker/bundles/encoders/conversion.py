"""Files of weights → tensors by timm's names. Runs at set-up only; nothing in a file is ever executed."""

from __future__ import annotations

import pickle  # nosec B403
from typing import TYPE_CHECKING, Any

import numpy as np
import timm
import torch

from worker.bundles.encoders.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

_HEAD = "classifier."
_LAYERS = 12
# Of the saliency model's ONNX file; its linear layers' weights have no names of their own.
_CLASS_POSITION, _PATCH_POSITIONS = "onnx::Concat_1957", "onnx::Reshape_1962"
_EMBEDDINGS, _LAYER = "backbone.embeddings", "backbone.encoder.layer"


def in_order_of(architecture: str) -> Callable[[Path], dict[str, Tensor]]:
    """Return a conversion for state dicts whose tensors have the order and shapes of a timm network's.

    The head that names ImageNet's classes is left out.
    """

    def convert(file: Path) -> dict[str, Tensor]:
        try:
            stored = torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
            raise EncoderError(
                f"{file.name} is no plain state dict: it is damaged, or a pickle with code in it, which is never run"
            ) from error
        state = timm.create_model(architecture, pretrained=False).state_dict()
        if not isinstance(stored, dict) or [_shape(v) for v in stored.values()] != [_shape(v) for v in state.values()]:
            raise EncoderError(f"{file.name} does not hold the tensors of timm's {architecture}")
        named = zip(state, stored.values(), strict=True)
        return {name: value.clone() for name, value in named if not name.startswith(_HEAD)}

    return convert


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def dinov2_of_onnx(file: Path) -> dict[str, Tensor]:
    """Read DINOv2-small out of the saliency model's ONNX file.

    Raises:
        EncoderError: the file is damaged, or lacks a tensor.
    """
    constants, weights = _read_onnx(file)
    try:
        return _dinov2(constants, weights)
    except KeyError as error:
        raise EncoderError(f"{file.name} lacks the tensor {error}") from error


def _read_onnx(file: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return constants by name, and by each product's name the matrix that it multiplies with."""
    # OpenVINO reads ONNX itself, so no ONNX package is needed. Imported here, for set-up alone wants it.
    import openvino  # noqa: PLC0415

    try:
        model = openvino.Core().read_model(file)
    except RuntimeError as error:
        raise EncoderError(f"{file.name} is no ONNX file, or damaged") from error
    constants = {op.get_friendly_name(): _tensor(op) for op in model.get_ops() if op.get_type_name() == "Constant"}
    weights = {
        op.get_friendly_name(): constants[right]
        for op in model.get_ops()
        if op.get_type_name() == "MatMul" and (right := op.input_value(1).get_node().get_friendly_name()) in constants
    }
    return constants, weights


def _tensor(constant: Any) -> Tensor:
    return torch.from_numpy(np.array(constant.data))  # a copy: the file's memory goes with the model


def _dinov2(constants: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = {
        "cls_token": constants[f"{_EMBEDDINGS}.cls_token"],
        "pos_embed": torch.cat([constants[_CLASS_POSITION], constants[_PATCH_POSITIONS]], dim=1),  # (1, 1370, 384)
        "patch_embed.proj.weight": constants[f"{_EMBEDDINGS}.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": constants[f"{_EMBEDDINGS}.patch_embeddings.projection.bias"],
        "norm.weight": constants["backbone.layernorm.weight"],
        "norm.bias": constants["backbone.layernorm.bias"],
    }
    for layer in range(_LAYERS):
        tensors |= {f"blocks.{layer}.{name}": value for name, value in _block(constants, weights, layer).items()}
    return {name: value.contiguous() for name, value in tensors.items()}


def _block(constants: dict[str, Tensor], weights: dict[str, Tensor], layer: int) -> dict[str, Tensor]:
    at, product = f"{_LAYER}.{layer}", f"/backbone/encoder/layer.{layer}"
    attention = [f"attention/attention/{part}" for part in ("query", "key", "value")]
    block = {
        "attn.qkv.weight": torch.cat([weights[f"{product}/{part}/MatMul"].t() for part in attention]),
        "attn.qkv.bias": torch.cat([constants[f"{at}.{part.replace('/', '.')}.bias"] for part in attention]),
        "ls1.gamma": constants[f"{at}.layer_scale1.lambda1"],
        "ls2.gamma": constants[f"{at}.layer_scale2.lambda1"],
    }
    for ours, theirs in (("attn.proj", "attention/output/dense"), ("mlp.fc1", "mlp/fc1"), ("mlp.fc2", "mlp/fc2")):
        block[f"{ours}.weight"] = weights[f"{product}/{theirs}/MatMul"].t()
        block[f"{ours}.bias"] = constants[f"{at}.{theirs.replace('/', '.')}.bias"]
    for norm in ("norm1", "norm2"):
        block |= {f"{norm}.{part}": constants[f"{at}.{norm}.{part}"] for part in ("weight", "bias")}
    return block
