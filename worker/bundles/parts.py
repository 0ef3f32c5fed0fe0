"""What a bundle is made of, as plain values and tensors, and the version that they give it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.detectors.pixels import PIXEL_MEAN, PIXEL_SPREAD
from worker.images.crop_boxes import CROP_POSITIONS
from worker.images.views import COVARIATE_NAMES, ViewPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from worker.decisions.calibration import Calibration, CalibrationFigures, Fusion

FORMAT = 1
FUSED = "fused"
# Written into every bundle and compared on loading: code that prepares images differently must not run its weights.
PREPROCESSING: dict[str, Any] = {
    "pixel_mean": PIXEL_MEAN,
    "pixel_spread": PIXEL_SPREAD,
    "crop_positions": [list(position) for position in CROP_POSITIONS],
    "covariates": list(COVARIATE_NAMES),
}


@dataclass(frozen=True)
class DetectorPart:
    """One detector as plain values and tensors."""

    architecture: Mapping[str, Any]
    plan: ViewPlan
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class BundleParts:
    """Everything a bundle is made of, before any network is built.

    Attributes:
        name: such as `wild`.
        detectors: by name, in the order they are fused.
        fusion: of the detectors' logits.
        calibrations: by detector name, and `fused`.
        figures: what thresholds stand on.
        card: for people.
    """

    name: str
    detectors: Mapping[str, DetectorPart]
    fusion: Fusion
    calibrations: Mapping[str, Calibration]
    figures: CalibrationFigures
    card: Mapping[str, Any]

    def deciding(self) -> dict[str, Any]:
        """Give the plain values that change logits or probabilities."""
        return {
            "format": FORMAT,
            "detectors": {
                name: {"architecture": dict(part.architecture), "views": part.plan.to_json()}
                for name, part in self.detectors.items()
            },
            "preprocessing": PREPROCESSING,
            "fusion": self.fusion.to_json(),
            "calibrations": {name: calibration.to_json() for name, calibration in self.calibrations.items()},
        }

    def version(self) -> str:
        """Name the bundle by its content: `wild-` and the first 12 hex digits of the digest."""
        return version_of(self.name, self.digest())

    def digest(self) -> str:
        """Hash everything that changes logits or probabilities: sha256, 64 hex digits."""
        digest = hashlib.sha256(canonical(self.deciding()))
        for detector, part in sorted(self.detectors.items()):
            for name, tensor in sorted(part.tensors.items()):
                digest.update(canonical([detector, name, str(tensor.dtype), list(tensor.shape)]))
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def version_of(name: str, digest: str) -> str:
    """Name a bundle by its content: `wild-` and the first 12 hex digits of the digest."""
    return f"{name}-{digest[:12]}"


def canonical(value: Any) -> bytes:
    """Write plain values in the one form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
