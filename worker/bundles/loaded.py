"""Bundle: images in, calibrated probabilities and heatmaps out.

`prepare` runs in many threads beside each other; `score`, `heatmaps` and `warm_up` belong to the one thread that
owns the device.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from worker.bundles.encoders.folder import EncoderFolder
from worker.bundles.folder import FUSED, BundleParts, DetectorPart, read_bundle
from worker.bundles.plain_files import BundleError
from worker.detectors.build import CANNOT_BUILD, build_detector
from worker.detectors.detector import Seeing
from worker.detectors.encoder import EncoderDetector
from worker.detectors.heatmap import Heatmap, grad_cam
from worker.images.views import Prepared, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from worker.database.features import Seen
    from worker.decisions.calibration import CalibrationFigures
    from worker.detectors.detector import OneNetwork
    from worker.images.views import ViewPlan

__all__ = ["Bundle", "BundleError", "Heatmap", "Prepared", "Scores", "load_bundle", "shipped_bundle"]

# The detector whose features are kept, so that its head can be fitted again.
SEEN_BY = "clip"
_SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Scores:
    """What a bundle makes of one image.

    Attributes:
        logits: raw, by detector name.
        probabilities: calibrated for each detector alone, by name.
        logit: fused and calibrated.
        probability: fused and calibrated, before any prior shift.
        features: of the CLIP detector, float16, little-endian; None where it cannot tell them.
    """

    logits: dict[str, float]
    probabilities: dict[str, float]
    logit: float
    probability: float
    features: bytes | None = None


class Bundle:
    """Detectors, fusion and calibration that belong together."""

    def __init__(self, parts: BundleParts, device: str = "cpu", encoders: EncoderFolder | None = None) -> None:
        """Build the networks in float32 on the device and load the weights.

        Args:
            parts: what it is made of.
            device: a torch device.
            encoders: where the encoders lie that its detectors name.

        Raises:
            BundleError: the weights do not fit the architecture.
            EncoderError: an encoder that a detector names is not here, or damaged.
        """
        self.name = parts.name
        self.version = parts.version()
        self.card: Mapping[str, Any] = MappingProxyType(dict(parts.card))
        self.figures: CalibrationFigures = parts.figures
        self._fusion = parts.fusion
        self._calibrations = parts.calibrations
        self.device = torch.device(device)
        self._parts = {name: (dict(part.architecture), part.plan.to_json()) for name, part in parts.detectors.items()}
        self._fingerprints: dict[tuple[str, bool], str] = {}
        self._detectors: dict[str, OneNetwork] = {}
        for name, part in parts.detectors.items():
            try:
                detector = build_detector(name, part.architecture, part.plan)
                detector.network.load_state_dict(_state(detector, part, encoders or EncoderFolder()))
            except CANNOT_BUILD as error:
                raise BundleError(
                    f"detector {name!r} cannot be built of its architecture and weights: damaged, or of another "
                    f"version of Assay; take a newer bundle, or fit this detector anew ({repr(error)[:200]})"
                ) from error
            detector.network.to(self.device).eval().requires_grad_(requires_grad=False)
            self._detectors[name] = detector

    @property
    def detector_names(self) -> tuple[str, ...]:
        """Name the detectors in the order they are fused."""
        return tuple(self._detectors)

    def detector(self, name: str) -> OneNetwork:
        """Give one detector, for those who look inside; whoever scores images asks the bundle."""
        return self._detectors[name]

    @property
    def plans(self) -> Mapping[str, ViewPlan]:
        """Name the views that each detector needs of an image."""
        return {name: detector.plan for name, detector in self._detectors.items()}

    def prepare(self, image: Image.Image) -> Prepared:
        """Cut every view an image needs, on the CPU; safe in many threads at once."""
        return prepare(image, self.plans)

    @torch.inference_mode()
    def logits_of(self, name: str, batch: Sequence[Prepared]) -> list[float]:
        """Judge images by one detector: B logits. Device thread only."""
        logits: list[float] = self._detectors[name].logits(self._stacked(name, batch)).cpu().tolist()
        return logits

    def probability(self, logits: Mapping[str, float], covariates: Sequence[float]) -> float:
        """Fuse and calibrate the detectors' logits of an image."""
        return self._calibrations[FUSED].probability(self._fusion.fuse(dict(logits), covariates))

    def run_eagerly(self) -> None:
        """Run every detector by eager torch again."""
        for detector in self._detectors.values():
            detector.engine = None

    @torch.inference_mode()
    def score(self, batch: Sequence[Prepared]) -> list[Scores]:
        """Judge images; an image's scores do not depend on its neighbours. Device thread only."""
        if not batch:
            return []
        columns: dict[str, list[float]] = {}
        features: list[bytes | None] = [None] * len(batch)
        for name, detector in self._detectors.items():
            views = self._stacked(name, batch)
            if name == SEEN_BY and isinstance(detector, Seeing):
                logits, seen = detector.see(views)
                features = [row.tobytes() for row in seen.cpu().numpy().astype("<f2")]
            else:
                logits = detector.logits(views)
            columns[name] = logits.cpu().tolist()  # (B,)
        scores = [
            self._scores({name: column[row] for name, column in columns.items()}, prepared.covariates, features[row])
            for row, prepared in enumerate(batch)
        ]
        assert len(scores) == len(batch)  # noqa: S101 (a bad image must never shift its neighbours' results)
        return scores

    def rescored(self, batch: Sequence[tuple[Bundle, Seen]]) -> list[Scores | None]:
        """Judge images by what other bundles saw in them, without their pixels. Device thread only.

        Args:
            batch: a bundle and what it saw in an image.

        Returns:
            As `score`; None where the two see differently, by another body or other views.
        """
        return [self._rescored(other, seen) for other, seen in batch]

    def _rescored(self, other: Bundle, seen: Seen) -> Scores | None:
        logits: dict[str, float] = {}
        for name, detector in self._detectors.items():
            if self.fingerprint(name) == other.fingerprint(name):
                logits[name] = float(seen.logits[name])
            elif name == SEEN_BY and isinstance(detector, Seeing) and self._same_body(other, name):
                features = torch.frombuffer(bytearray(seen.features), dtype=torch.float16)[None]
                logits[name] = float(detector.judge_seen(features))
            else:
                return None
        return self._scores(logits, seen.covariates, seen.features)

    def _same_body(self, other: Bundle, name: str) -> bool:
        return self.fingerprint(name, body=True) == other.fingerprint(name, body=True)

    def fingerprint(self, name: str, *, body: bool = False) -> str:
        """Tell detectors apart by what they are made of, views included; empty for one that the bundle lacks.

        Args:
            name: of the detector.
            body: leave its head out.
        """
        if (name, body) not in self._fingerprints and name in self._parts:
            self._fingerprints[name, body] = _fingerprint(self._parts[name], self._detectors[name], body=body)
        return self._fingerprints.get((name, body), "")

    def heatmaps(self, batch: Sequence[Prepared]) -> list[dict[str, Heatmap]]:
        """Explain images: one heatmap for each detector, by name. Device thread only."""
        if not batch:
            return []
        sizes = [prepared.size for prepared in batch]
        columns = {
            name: grad_cam(detector, self._stacked(name, batch), sizes) for name, detector in self._detectors.items()
        }
        return [{name: column[row] for name, column in columns.items()} for row in range(len(batch))]

    def warm_up(self, batch_size: int) -> None:
        """Run a full batch of a grey image, so that the first real one finds everything compiled and allocated.

        Raises:
            BundleError: a logit is not finite, so nothing this bundle says could be trusted.
        """
        prepared = self.prepare(Image.new("RGB", (256, 256), (127, 127, 127)))
        for scores in self.score([prepared] * batch_size):
            if not all(math.isfinite(value) for value in (*scores.logits.values(), scores.logit)):
                message = f"bundle {self.version} gives logits that are not finite: do not serve it, export it again"
                raise BundleError(message)

    def _stacked(self, name: str, batch: Sequence[Prepared]) -> Tensor:
        views = np.stack([prepared.views[name] for prepared in batch])  # (B, V, 3, H, W)
        return torch.from_numpy(views).to(self.device)

    def _scores(self, logits: dict[str, float], covariates: Sequence[float], features: bytes | None) -> Scores:
        fused = self._fusion.fuse(logits, covariates)
        calibration = self._calibrations[FUSED]
        return Scores(
            logits=logits,
            probabilities={name: self._calibrations[name].probability(logit) for name, logit in logits.items()},
            logit=calibration.calibrated_logit(fused),
            probability=calibration.probability(fused),
            features=features,
        )


def _state(detector: OneNetwork, part: DetectorPart, encoders: EncoderFolder) -> dict[str, Tensor]:
    """Return a detector's tensors as float32, those of the encoder that it names among them."""
    if not isinstance(detector, EncoderDetector):
        return {key: tensor.float() for key, tensor in part.tensors.items()}
    named = detector.architecture.encoder
    return detector.whole_state(part.tensors, encoders.read(named) if named else {})


def _fingerprint(made_of: tuple[Any, Any], detector: OneNetwork, *, body: bool) -> str:
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode())
    for name, tensor in sorted(detector.network.state_dict().items()):
        if not (body and name.startswith("head.")):
            digest.update(f"{name}{tensor.dtype}{list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_bundle(path: Path, device: str = "cpu", encoders: EncoderFolder | None = None) -> Bundle:
    """Read, verify and build the bundle in a folder.

    Args:
        path: the folder.
        device: a torch device, such as `cpu` or `cuda`.
        encoders: where the encoders lie that its detectors name.

    Raises:
        BundleError: it cannot be used; the message says why and what to do.
        EncoderError: an encoder that it names is not here, or damaged.
    """
    return Bundle(read_bundle(Path(path)), device, encoders)


def shipped_bundle(name: str) -> Path:
    """Find a bundle that comes with the release: `wild` or `cifake`.

    Raises:
        BundleError: none of that name is shipped.
    """
    folder = _SHIPPED / name
    if not (folder / "bundle.json").is_file():
        shipped = sorted(file.parent.name for file in _SHIPPED.glob("*/bundle.json"))
        message = f"no bundle named {name!r} is shipped; shipped are: {', '.join(shipped) or 'none'}"
        raise BundleError(message)
    return folder
