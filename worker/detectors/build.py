"""Detectors by name: what a recipe or a bundle describes in plain values, made into a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.detectors.clip import ClipArchitecture, ClipDetector
from worker.detectors.convnext import ConvNextArchitecture, ConvNextDetector
from worker.detectors.encoder import CENTRE, EncoderArchitecture, EncoderDetector
from worker.detectors.names import DetectorName
from worker.detectors.srm import SrmArchitecture, SrmDetector
from worker.detectors.wrapped import WrappedArchitecture, WrappedDetector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from worker.detectors.detector import OneNetwork
    from worker.images.views import ViewPlan

# What the libraries raise where arguments make no network; many of their checks are bare assertions.
CANNOT_BUILD = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)


def build_detector(
    name: str, architecture: Mapping[str, Any], plan: ViewPlan, tensors: Mapping[str, Tensor] | None = None
) -> OneNetwork:
    """Make the detector of that name, `clip`, `convnext` or `srm`, with fresh weights.

    The shapes of `tensors`, which are to be loaded into it, spare the pass that tells how wide its layers are.

    An architecture that names a library wraps a network that was trained elsewhere. One whose `kind` is `encoder` makes
    an encoder detector, whatever its name.

    Raises:
        ValueError: there is no detector of that name.
        Exception: any of `CANNOT_BUILD`, where the architecture makes no network.
    """
    if architecture.get("kind") == "encoder":
        values = {key: value for key, value in architecture.items() if key != "kind"}
        encoder = EncoderArchitecture(**_with_tuples(values, "mean", "std", "taps"))
        return EncoderDetector(name, encoder, plan, _width_of(tensors))
    if name in {DetectorName.CLIP, DetectorName.CONVNEXT} and "library" in architecture:
        pixels = {key: tuple(architecture[key]) for key in ("mean", "std")}
        return WrappedDetector(name, WrappedArchitecture(**{**architecture, **pixels}), plan)
    if name == DetectorName.CLIP:
        return ClipDetector(ClipArchitecture(**_with_tuples(architecture, "taps", "stem", "stem_strides")), plan)
    if name == DetectorName.CONVNEXT:
        return ConvNextDetector(ConvNextArchitecture(**_with_tuples(architecture, "stem", "stem_strides")), plan)
    if name == DetectorName.SRM:
        return SrmDetector(SrmArchitecture(**architecture), plan)
    message = f"there is no detector named {name!r}; known are {', '.join(DetectorName)}"
    raise ValueError(message)


def _width_of(tensors: Mapping[str, Tensor] | None) -> int:
    return len(tensors[CENTRE]) if tensors and CENTRE in tensors else 0


def _with_tuples(architecture: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Give tuples where JSON and TOML have lists."""
    return {**architecture, **{key: tuple(architecture.get(key, ())) for key in keys}}
