"""Bundle: images in, calibrated probabilities and heatmaps out.

`prepare` runs in many threads beside each other; `score`, `heatmaps` and `warm_up` belong to the one thread that
owns the device.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from worker.bundles.encoders.folder import EncoderFolder
from worker.bundles.folder import read_bundle
from worker.bundles.network_state import fingerprint_of, state_of
from worker.bundles.parts import FUSED, BundleParts
from worker.bundles.plain_files import BundleError
from worker.bundles.release import shipped_bundle
from worker.bundles.scores import NotFiniteError, Scores
from worker.bundles.stored_features import ENCODER, stored_features
from worker.detectors.build import CANNOT_BUILD, build_detector
from worker.detectors.detector import Seeing
from worker.detectors.heatmap import Heatmap, grad_cam
from worker.freed_memory import give_back_freed_memory
from worker.images.views import PreparedImage, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from worker.database.features import StoredFeatures
    from worker.decisions.calibration import CalibrationFigures
    from worker.detectors.detector import OneNetwork
    from worker.images.views import ViewPlan

__all__ = ["Bundle", "BundleError", "Heatmap", "PreparedImage", "Scores", "load_bundle", "shipped_bundle"]


class Bundle:
    """Detectors, fusion and calibration that belong together."""

    def __init__(
        self, parts: BundleParts, device: str = "cpu", encoders: EncoderFolder | None = None, most_views: int = 0
    ) -> None:
        """Build the networks in float32 on the device and load the weights.

        Args:
            parts: what it is made of.
            device: a torch device.
            encoders: where the encoders lie that its detectors name.
            most_views: of an image that an encoder detector looks at, 0 for as many as it was made for.

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
        self.stored_features = stored_features(parts.detectors)
        plans = {
            name: part.plan.limited(most_views) if part.architecture.get("kind") == ENCODER else part.plan
            for name, part in parts.detectors.items()
        }
        self._parts = {name: (dict(part.architecture), plans[name].to_json()) for name, part in parts.detectors.items()}
        self._fingerprints: dict[tuple[str, bool], str] = {}
        self._detectors: dict[str, OneNetwork] = {}
        for name, part in parts.detectors.items():
            try:
                detector = build_detector(name, part.architecture, plans[name], part.tensors)
                detector.network.load_state_dict(state_of(detector, part, encoders or EncoderFolder()))
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

    def prepare(self, image: Image.Image) -> PreparedImage:
        """Cut every view an image needs, on the CPU; safe in many threads at once."""
        return prepare(image, self.plans)

    @torch.inference_mode()
    def logits_of(self, name: str, batch: Sequence[PreparedImage]) -> list[float]:
        """Judge images by one detector: B logits. Device thread only."""
        sizes = [prepared.size for prepared in batch]
        logits: list[float] = self._detectors[name].logits(self._stacked(name, batch), sizes).cpu().tolist()
        return logits

    def probability(self, logits: Mapping[str, float], covariates: Sequence[float]) -> float:
        """Fuse and calibrate the detectors' logits of an image."""
        return self._calibrations[FUSED].probability(self._fusion.fuse(dict(logits), covariates))

    def engines(self) -> dict[str, str]:
        """Return how each detector is run, by name, such as `openvino bf16` or `torch fp32`."""
        run_by = {name: detector.engine for name, detector in self._detectors.items()}
        return {name: f"{by.name} {by.precision}" if by else "torch fp32" for name, by in run_by.items()}

    def run_eagerly(self) -> None:
        """Let torch run every detector from now on, whatever engines were chosen before."""
        for detector in self._detectors.values():
            detector.engine = None

    @torch.inference_mode()
    def score(self, batch: Sequence[PreparedImage]) -> list[Scores]:
        """Judge images; an image's scores do not depend on its neighbours. Device thread only.

        Raises:
            NotFiniteError: of one of them there is no finite number.
        """
        if not batch:
            return []
        columns: dict[str, list[float]] = {}
        features = [b""] * len(batch)
        for name in self._detectors:
            columns[name], of_detector = self._look(name, batch)
            features = [before + more for before, more in zip(features, of_detector, strict=True)]
        engines = self.engines()
        scores = [
            self._scores(
                {name: column[row] for name, column in columns.items()},
                prepared.covariates,
                features[row] or None,
                engines,
            )
            for row, prepared in enumerate(batch)
        ]
        assert len(scores) == len(batch)  # noqa: S101 (a bad image must never shift its neighbours' results)
        if not all(one.is_finite for one in scores):
            raise NotFiniteError(f"{self.version} gives no finite number for an image; nothing is served of it")
        return scores

    def _look(self, name: str, batch: Sequence[PreparedImage]) -> tuple[list[float], list[bytes]]:
        """Return a detector's logits, and the features that are stored of it; empty where none are."""
        detector, views = self._detectors[name], self._stacked(name, batch)
        sizes = [prepared.size for prepared in batch]
        if name not in self.stored_features or not isinstance(detector, Seeing):
            return detector.logits(views, sizes).cpu().tolist(), [b""] * len(batch)
        logits, features = detector.see(views, sizes)  # (B,) and (B, F)
        return logits.cpu().tolist(), [row.tobytes() for row in features.cpu().numpy().astype("<f2")]

    def rescored(self, batch: Sequence[tuple[Bundle, StoredFeatures]]) -> list[Scores | None]:
        """Judge images by what other bundles saw in them, without their pixels. Device thread only.

        Args:
            batch: a bundle and what it saw in an image.

        Returns:
            As `score`; None where the two see differently, by another body or other views.
        """
        return [self._rescore(other, memory) for other, memory in batch]

    def _rescore(self, other: Bundle, memory: StoredFeatures) -> Scores | None:
        if self.stored_features != other.stored_features:
            return None
        features = self._parted(memory.features)
        logits: dict[str, float] = {}
        for name, detector in self._detectors.items():
            if self.fingerprint(name) == other.fingerprint(name):
                logits[name] = float(memory.logits[name])
            elif name in features and isinstance(detector, Seeing) and self._same_body(other, name):
                logits[name] = float(detector.judge_features(features[name]))
            else:
                return None
        scores = self._scores(logits, memory.covariates, memory.features, dict.fromkeys(logits, "stored"))
        return scores if scores.is_finite else None  # half precision may have lost it; its pixels have not

    def _parted(self, features: bytes) -> dict[str, Tensor]:
        """Part stored features by detector: (1, F) each; empty where they are of another length."""
        widths = self.stored_features
        stored = torch.frombuffer(bytearray(features), dtype=torch.float16)[None] if features else torch.zeros(1, 0)
        if stored.shape[1] != sum(widths.values()):
            return {}
        return dict(zip(widths, torch.split(stored, list(widths.values()), dim=1), strict=True))

    def _same_body(self, other: Bundle, name: str) -> bool:
        return self.fingerprint(name, body=True) == other.fingerprint(name, body=True)

    def fingerprint(self, name: str, *, body: bool = False) -> str:
        """Tell detectors apart by what they are made of, views included; empty for one that the bundle lacks.

        Args:
            name: of the detector.
            body: leave its head out.
        """
        if (name, body) not in self._fingerprints and name in self._parts:
            self._fingerprints[name, body] = fingerprint_of(self._parts[name], self._detectors[name], body=body)
        return self._fingerprints.get((name, body), "")

    def heatmaps(self, batch: Sequence[PreparedImage]) -> list[dict[str, Heatmap]]:
        """Explain images: one heatmap for each detector, by name. Device thread only."""
        if not batch:
            return []
        sizes = [prepared.size for prepared in batch]
        columns = {
            name: grad_cam(detector, self._stacked(name, batch), sizes) for name, detector in self._detectors.items()
        }
        give_back_freed_memory()
        return [{name: column[row] for name, column in columns.items()} for row in range(len(batch))]

    def warm_up(self, batch_size: int) -> None:
        """Run a full batch of a grey image, so that the first real one finds everything compiled and allocated.

        Raises:
            BundleError: a logit is not finite, so nothing this bundle says could be trusted.
        """
        prepared = self.prepare(Image.new("RGB", (256, 256), (127, 127, 127)))
        try:
            self.score([prepared] * batch_size)
        except NotFiniteError as error:
            message = f"bundle {self.version} gives logits that are not finite: do not serve it, export it again"
            raise BundleError(message) from error

    def _stacked(self, name: str, batch: Sequence[PreparedImage]) -> Tensor:
        views = np.stack([prepared.views[name] for prepared in batch])  # (B, V, 3, H, W)
        return torch.from_numpy(views).to(self.device)

    def _scores(
        self, logits: dict[str, float], covariates: Sequence[float], features: bytes | None, engines: Mapping[str, str]
    ) -> Scores:
        fused = self._fusion.fuse(logits, covariates)
        calibration = self._calibrations[FUSED]
        return Scores(
            logits=logits,
            probabilities={name: self._calibrations[name].probability(logit) for name, logit in logits.items()},
            logit=calibration.calibrated_logit(fused),
            probability=calibration.probability(fused),
            features=features,
            engines=engines,
            weights={name: self._fusion.weights.get(name, 0.0) for name in logits},
        )


def load_bundle(path: Path, device: str = "cpu", encoders: EncoderFolder | None = None, most_views: int = 0) -> Bundle:
    """Read, verify and build the bundle in a folder.

    Args:
        path: the folder.
        device: a torch device, such as `cpu` or `cuda`.
        encoders: where the encoders lie that its detectors name.
        most_views: of an image that an encoder detector looks at, 0 for as many as it was made for.

    Raises:
        BundleError: it cannot be used; the message says why and what to do.
        EncoderError: an encoder that it names is not here, or damaged.
    """
    return Bundle(read_bundle(Path(path)), device, encoders, most_views)
