"""The tensors of a detector's network: where they come from, and the hash that tells detectors apart."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from worker.detectors.encoder import EncoderDetector

if TYPE_CHECKING:
    from torch import Tensor

    from worker.bundles.encoders.folder import EncoderFolder
    from worker.bundles.parts import DetectorPart
    from worker.detectors.detector import OneNetwork


def state_of(detector: OneNetwork, part: DetectorPart, encoders: EncoderFolder) -> dict[str, Tensor]:
    """Return a detector's tensors as float32, those of the encoder that it names among them."""
    if not isinstance(detector, EncoderDetector):
        return {key: tensor.float() for key, tensor in part.tensors.items()}
    named = detector.architecture.encoder
    return detector.whole_state(part.tensors, encoders.read(named) if named else {})


def fingerprint_of(made_of: tuple[Any, Any], detector: OneNetwork, *, body: bool) -> str:
    """Hash a detector's plain values and tensors: 64 hex digits; `body` leaves its head out."""
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode())
    for name, tensor in sorted(detector.network.state_dict().items()):
        if not (body and name.startswith("head.")):
            digest.update(f"{name}{tensor.dtype}{list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
