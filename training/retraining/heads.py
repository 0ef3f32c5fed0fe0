"""Heads: linear functions of stored features, read from a bundle, fitted anew and put back.

The logit of an encoder detector, or else of the CLIP detector, is a linear function of its stored features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.optimize import minimize

from training.data.collection import DataError
from training.export.rounding import shipped_precision
from worker.bundles.stored_features import stored_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.bundles.parts import BundleParts

    Floats = NDArray[np.float32]

# A CLIP head's scales and shifts become part of its linear layer; an encoder's head is that layer alone.
_CLIP = "clip"
_SCALE, _SHIFT, _WEIGHT, _BIAS = "head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"
_LINEAR_WEIGHT, _LINEAR_BIAS = "head.weight", "head.bias"
STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4)
_CHOSEN_ON = 20_000
_STEPS = 200


@dataclass(frozen=True)
class Head:
    """A linear head on normalised features: (F,) weights and a bias, float32."""

    weight: Floats
    bias: float

    def logits(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Judge (N, F) features: (N,)."""
        return np.asarray(features.astype(np.float32) @ self.weight + self.bias, dtype=np.float64)


def head_of(parts: BundleParts, name: str = _CLIP) -> Head:
    """Read the head of a detector whose features are stored.

    Raises:
        DataError: the bundle has none that is linear in its features.
    """
    tensors = parts.detectors[name].tensors if name in parts.detectors else {}
    if {_LINEAR_WEIGHT, _LINEAR_BIAS} <= set(tensors):
        weight, bias = tensors[_LINEAR_WEIGHT].float(), tensors[_LINEAR_BIAS].float()
        return Head(weight[0].numpy(), float(bias[0]))
    if not {_SCALE, _SHIFT, _WEIGHT, _BIAS} <= set(tensors):
        raise DataError(f"bundle {parts.version()} has no {name} head that could be fitted again; train with a recipe")
    scale, shift, weight, bias = (tensors[key].float() for key in (_SCALE, _SHIFT, _WEIGHT, _BIAS))
    return Head((weight[0] * scale).numpy(), float(weight[0] @ shift + bias[0]))


def with_head(parts: BundleParts, head: Head, name: str = _CLIP) -> BundleParts:
    """Put a head into a bundle, rounded as bundles ship."""
    part = parts.detectors[name]
    weight, bias = torch.from_numpy(head.weight)[None], torch.tensor([head.bias])
    new = {_LINEAR_WEIGHT: weight, _LINEAR_BIAS: bias}
    if _SCALE in part.tensors:
        ones = torch.ones(len(head.weight))
        new = {_SCALE: ones, _SHIFT: torch.zeros_like(ones), _WEIGHT: weight, _BIAS: bias}
    tensors = {**part.tensors, **shipped_precision(new)}
    return replace(parts, detectors={**parts.detectors, name: replace(part, tensors=tensors)})


def features_by_detector(parts: BundleParts, features: NDArray[np.float16]) -> dict[str, NDArray[np.float16]]:
    """Part stored features, (N, F), by the detectors they are of.

    Raises:
        DataError: the bundle stores none, or others.
    """
    widths = stored_features(parts.detectors)
    if not widths or features.shape[1] != sum(widths.values()):
        raise DataError(f"bundle {parts.version()} has no head that could be fitted on these features; train by recipe")
    parted = np.split(features, np.cumsum(list(widths.values()))[:-1], axis=1)
    return dict(zip(widths, parted, strict=True))


def fit_head(features: NDArray[np.float16], labels: NDArray[np.int8], base: Head) -> Head:
    """Fit a head by logistic regression, both classes weighing alike, with a Gaussian prior around the base head.

    Args:
        features: (N, F).
        labels: (N,), both classes among them.
        base: where the prior sits; its strength is chosen on a fifth of at most 20,000 of the images.
    """
    rng = np.random.default_rng(0)
    some = rng.permutation(len(labels))[:_CHOSEN_ON]
    # A fifth of either class: of a few images of one, none might be left to fit on.
    by_class = [some[labels[some] == label] for label in (0, 1)]
    sides = [np.split(rows, [len(rows) // 5]) for rows in by_class]
    left_out, fitted = (np.concatenate(side) for side in zip(*sides, strict=True))
    best, strength = -np.inf, STRENGTHS[0]
    head = base
    for candidate in STRENGTHS:
        head = _fitted(features[fitted], labels[fitted], base, candidate, start=head)
        loss = _loss(head.logits(features[left_out]), labels[left_out])
        if -loss > best:
            best, strength = -loss, candidate
    return _fitted(features, labels, base, strength, start=base)


def _fitted(features: NDArray[np.float16], labels: NDArray[np.int8], base: Head, strength: float, start: Head) -> Head:
    x = torch.from_numpy(features.astype(np.float32))  # (N, F)
    y = torch.from_numpy(labels.astype(np.float32))
    positives = float(y.mean())
    weights = torch.where(y == 1, 0.5 / positives, 0.5 / (1.0 - positives)) / len(y)
    origin = torch.from_numpy(np.append(base.weight, np.float32(base.bias)))

    def cost(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w = torch.from_numpy(flat.astype(np.float32))
        logits = torch.mv(x, w[:-1]) + w[-1]
        moved = w - origin
        moved[-1] = 0.0  # a bias is free
        value = float((weights * torch.nn.functional.softplus(torch.where(y == 1, -logits, logits))).sum())
        error = weights * (torch.sigmoid(logits) - y)
        gradient = torch.cat([torch.mv(x.t(), error), error.sum()[None]]) + strength * moved
        return value + 0.5 * strength * float(moved @ moved), gradient.double().numpy()

    first = np.append(start.weight, start.bias).astype(np.float64)
    solution = minimize(cost, first, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    return Head(solution.x[:-1].astype(np.float32), float(solution.x[-1]))


def _loss(logits: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    signs = np.where(labels == 1, -1.0, 1.0)
    balanced = np.where(labels == 1, 0.5 / max(labels.mean(), 1e-9), 0.5 / max(1.0 - labels.mean(), 1e-9))
    return float(np.mean(balanced * np.logaddexp(0.0, signs * logits)))
