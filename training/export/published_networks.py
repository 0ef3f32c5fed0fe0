"""Published networks: a hub id, a tag or a folder → a detector's architecture, views and weights.

Hub ids and tags go through timm's and open_clip's own loaders; folders are in their formats: timm's `config.json` and
`model.safetensors`, open_clip's `open_clip_config.json` and `open_clip_model.safetensors`. Only safetensors are read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import open_clip
import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from timm.data.config import resolve_model_data_config
from timm.models import get_model_args

from training.data.class_words import label_of
from training.fitting.safe_weights import TIMM_FILE, check_hub_weights, check_weights_file, open_clip_tag, timm_overlay
from worker.bundles.parts import DetectorPart
from worker.detectors.wrapped import WrappedArchitecture, WrappedNetwork
from worker.errors import AssayError
from worker.images.views import ViewPlan

if TYPE_CHECKING:
    from torch import Tensor, nn

_OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
_LOGITS = (1, 2)
# What the libraries, and we ourselves, raise on configurations and weights that are odd or damaged.
_CANNOT_OPEN = (
    RuntimeError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    SafetensorError,
)


class NetworkError(AssayError):
    """The network cannot be wrapped; the message says why and what to do."""


def open_convnext(place: str, *, crops: int, head: Path | None) -> DetectorPart:
    """Open a timm network.

    Args:
        place: a folder, a timm name such as `convnext_base.clip_laion2b_augreg_ft_in12k_in1k_384`, or a hub id.
        crops: native crops it shall see; 0 for the reduced whole.
        head: a linear layer for its features; see `with_head`. Without it the network's own one or two logits count,
            and where it has none the head stays zero, to be fitted.

    Raises:
        NetworkError: it cannot be loaded without pickle, or is none that timm knows.
    """
    try:
        return _convnext(place, crops, head)
    except _CANNOT_OPEN as error:
        raise NetworkError(
            f"timm cannot load {place} ({error}); give a folder with config.json and {TIMM_FILE}, a timm name, or "
            "be online for a hub id"
        ) from error


def _convnext(place: str, crops: int, head: Path | None) -> DetectorPart:
    body = _timm(place)
    own = head is None and getattr(body, "num_classes", 0) in _LOGITS
    data = resolve_model_data_config(body)  # type: ignore[no-untyped-call]
    _, height, width = data["input_size"]
    if height != width:
        raise NetworkError(f"{place} sees {width}x{height}; views are square")
    architecture = WrappedArchitecture(
        library="timm",
        model=_architecture_name(body),
        arguments=_model_arguments(body),
        mean=tuple(map(float, data["mean"])),
        std=tuple(map(float, data["std"])),
        logits=body.num_classes if own else 1,
        own_head=own,
        sign=_sign(body) if own else 1,
    )
    if not own:
        body.reset_classifier(0)
    plan = ViewPlan(int(height), 0, crops) if crops else ViewPlan(int(height), 1, 0)
    return _part(architecture, plan, body, head, place)


def _timm(place: str) -> Any:
    if Path(place).is_dir():
        if not (Path(place) / TIMM_FILE).is_file():
            raise ValueError(f"there is no {TIMM_FILE}, and nothing else is read: pickles may run code")
        check_weights_file(str(Path(place) / TIMM_FILE))
        return timm.create_model(f"local-dir:{place}", pretrained=True)
    overlay = timm_overlay(place)
    name = place if ":" in place or "/" not in place else f"hf-hub:{place}"
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)


def _architecture_name(body: Any) -> str:
    return str(body.pretrained_cfg.get("architecture") or body.default_cfg["architecture"])


def _model_arguments(body: Any) -> dict[str, Any]:
    """Give what timm was told when it made the network, as plain values."""
    arguments = {k: v for k, v in get_model_args(body, {}).items() if k != "num_classes"}
    json.dumps(arguments)
    return arguments


def _sign(body: Any) -> int:
    """Tell by the names of the classes which logit means AI-generated; without names the second, or the only one."""
    labels = [label_of(str(name)) for name in body.pretrained_cfg.get("label_names") or ()]
    return -1 if labels == [1, 0] else 1


def open_clip_tower(place: str, *, head: Path | None) -> DetectorPart:
    """Open an open_clip image tower.

    Args:
        place: a folder, `MODEL/TAG` such as `PE-Core-L-14-336/meta`, or a hub id such as `hf-hub:org/name`.
        head: as for `open_convnext`.

    Raises:
        NetworkError: it cannot be loaded without pickle, or is none that open_clip knows.
    """
    try:
        return _clip_tower(place, head)
    except _CANNOT_OPEN as error:
        raise NetworkError(
            f"open_clip cannot load {place} ({error}); give a folder with open_clip_config.json and "
            f"{_OPEN_CLIP_WEIGHTS[0]}, MODEL/TAG, or be online for a hub id"
        ) from error


def _clip_tower(place: str, head: Path | None) -> DetectorPart:
    config, both = _open_clip(place)
    pixels = open_clip.get_model_preprocess_cfg(both)
    size = pixels["size"] if isinstance(pixels["size"], int) else pixels["size"][0]
    architecture = WrappedArchitecture(
        library="open_clip",
        arguments={key: config[key] for key in ("embed_dim", "vision_cfg", "quick_gelu") if key in config},
        mean=tuple(map(float, pixels["mean"])),
        std=tuple(map(float, pixels["std"])),
    )
    return _part(architecture, ViewPlan(int(size), 1, 0), both.get_submodule("visual"), head, place)


def _open_clip(place: str) -> tuple[dict[str, Any], nn.Module]:
    if Path(place).is_dir():
        if not any((Path(place) / name).is_file() for name in _OPEN_CLIP_WEIGHTS):
            raise ValueError(f"there is no {_OPEN_CLIP_WEIGHTS[0]}, and nothing else is read: pickles may run code")
        name = f"local-dir:{place}"
    elif place.startswith("hf-hub:"):
        name = place
        check_hub_weights(place.removeprefix("hf-hub:"))
    else:
        model, _, tag = place.partition("/")
        file, pixels = open_clip_tag(model, tag)
        config = open_clip.get_model_config(model)
        return dict(config), open_clip.create_model(model, pretrained=file, require_pretrained=True, **_pixels(pixels))
    config = open_clip.get_model_config(name)
    if config is None:
        raise ValueError("its configuration cannot be read")
    return dict(config), open_clip.create_model(name, require_pretrained=True)


def _pixels(pixels: dict[str, Any]) -> dict[str, Any]:
    forced = {f"force_image_{key}": pixels[key] for key in ("mean", "std") if pixels.get(key)}
    return {"force_preprocess_cfg": {k.removeprefix("force_image_"): v for k, v in forced.items()}} if forced else {}


def _part(
    architecture: WrappedArchitecture, plan: ViewPlan, body: nn.Module, head: Path | None, place: str
) -> DetectorPart:
    tensors = {f"body.{name}": value for name, value in body.state_dict().items()}
    network = WrappedNetwork(architecture, plan.size)
    tensors |= {name: torch.zeros_like(v) for name, v in network.state_dict().items() if name.startswith("head.")}
    if set(tensors) != set(network.state_dict()):
        strange = min(set(tensors) ^ set(network.state_dict()))
        raise NetworkError(f"{place} cannot be built again from its configuration (at {strange})")
    part = DetectorPart(plain(architecture), plan, tensors)
    return part if head is None else with_head_file(part, head)


def plain(architecture: WrappedArchitecture) -> dict[str, Any]:
    """Write an architecture as JSON has it."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(architecture)))
    return values


def with_head(part: DetectorPart, weight: Tensor, bias: Tensor, **changes: Any) -> DetectorPart:
    """Put a linear head on a detector: weight (1 or 2, F), bias (1 or 2,); `changes` are the architecture's.

    Raises:
        NetworkError: it does not fit the features.
    """
    width = part.tensors["head.weight"].shape[1]
    if weight.shape not in {(1, width), (2, width)} or bias.shape != weight.shape[:1]:
        raise NetworkError(
            f"a head of {tuple(weight.shape)} with a bias of {tuple(bias.shape)} does not fit {width} features: it "
            "must have one or two outputs"
        )
    architecture = {**part.architecture, "logits": int(weight.shape[0]), **changes}
    return replace(part, architecture=architecture, tensors={**part.tensors, "head.weight": weight, "head.bias": bias})


def with_head_file(part: DetectorPart, file: Path) -> DetectorPart:
    """Put a head from a safetensors file on: one matrix, perhaps one vector, whatever they are called.

    Metadata `normalise` = `true` says that the features are brought to length 1 first.

    Raises:
        NetworkError: it is no such file, or does not fit.
    """
    tensors, normalised = _read_head(file)
    by_rank = {rank: [v for v in tensors.values() if v.ndim == rank] for rank in (1, 2)}
    if len(by_rank[2]) != 1 or len(by_rank[1]) > 1 or len(tensors) > len(_LOGITS):
        held = ", ".join(f"{name} {tuple(value.shape)}" for name, value in tensors.items())
        raise NetworkError(f"a head is one matrix and perhaps one vector; {file} holds {held or 'nothing'}")
    weight = by_rank[2][0].float()
    bias = by_rank[1][0].float() if by_rank[1] else torch.zeros(len(weight))
    return with_head(part, weight, bias, normalised=normalised)


def _read_head(file: Path) -> tuple[dict[str, Tensor], bool]:
    """Return the tensors, and whether features are brought to length 1 before them."""
    try:
        tensors = load_file(file)
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise NetworkError(f"{file} is no safetensors file ({error}); pickles are not read") from error
    return tensors, metadata.get("normalise") == "true"


def lacks_head(part: DetectorPart) -> bool:
    """Tell whether a head has still to be fitted."""
    return "head.weight" in part.tensors and not bool(part.tensors["head.weight"].any())
