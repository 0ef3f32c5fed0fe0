"""Linear heads on encoders' features: standardised, regularised logistic regression, in about a minute.

Beside the head a projection is made for what scans store: the head's own direction, so that it loses nothing, and the
principal components of the features, along which later labels may turn it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float32]

_STEPS = 60
_LEAST_SPREAD = 1e-3  # of layers whose channels are dead


@dataclass(frozen=True)
class LinearHead:
    """Logit = weight · (features - centre) / spread + bias; arrays are (F,) float32."""

    centre: Floats
    spread: Floats
    weight: Floats
    bias: float

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Judge (N, F) features: (N,)."""
        standard = (features.astype(np.float32) - self.centre) / self.spread
        return np.asarray(standard @ self.weight + self.bias, dtype=np.float64)


def fit_linear_head(
    draws: Sequence[NDArray[np.floating]],
    labels: NDArray[np.int8],
    weights: NDArray[np.float64],
    ridge: float,
    later_draws: float = 1.0,
) -> LinearHead:
    """Fit it.

    Args:
        draws: (N, F) each, the same images drawn otherwise.
        labels: (N,), 1 = AI-generated.
        weights: (N,), summing to 1.
        ridge: half of it times the squared length of the weights is added to the mean loss.
        later_draws: how much each draw after the first counts beside it.
    """
    shares = np.array([1.0] + [later_draws] * (len(draws) - 1))
    masses = [torch.from_numpy((weights * share).astype(np.float32)) for share in shares / shares.sum()]
    standard = [torch.from_numpy(np.ascontiguousarray(draw, dtype=np.float32)) for draw in draws]
    centre = torch.stack([mass @ draw for mass, draw in zip(masses, standard, strict=True)]).sum(dim=0)
    squares = [mass @ (draw - centre).square() for mass, draw in zip(masses, standard, strict=True)]
    spread = torch.stack(squares).sum(dim=0).sqrt().clamp(min=_LEAST_SPREAD)
    standard = [draw.sub(centre).div_(spread) for draw in standard]
    solution = _descend(standard, torch.from_numpy(labels.astype(np.float32)), masses, ridge).numpy()
    return LinearHead(centre.numpy(), spread.numpy(), solution[:-1], float(solution[-1]))


def _descend(draws: Sequence[Tensor], targets: Tensor, masses: Sequence[Tensor], ridge: float) -> Tensor:
    """Minimise the loss over weights and bias: (F + 1,)."""
    flat = torch.zeros(draws[0].shape[1] + 1, requires_grad=True)
    descent = torch.optim.LBFGS([flat], max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe")

    def cost() -> Tensor:
        descent.zero_grad()
        loss = 0.5 * ridge * flat[:-1].square().sum()
        for mass, draw in zip(masses, draws, strict=True):
            logits = draw @ flat[:-1] + flat[-1]
            wrong = binary_cross_entropy_with_logits(logits, targets, reduction="none")
            loss = loss + (mass * wrong).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    descent.step(cost)  # type: ignore[no-untyped-call]
    return flat.detach()


def tensors_of(
    head: LinearHead, draws: Sequence[NDArray[np.floating]], weights: NDArray[np.float64], components: int
) -> dict[str, Tensor]:
    """Lay a head out as an encoder detector's own tensors, matrices in half precision.

    Args:
        head: fitted on the draws.
        draws: (N, F) each.
        weights: (N,), summing to 1.
        components: K, numbers that a scan stores.
    """
    length = float(np.linalg.norm(head.weight)) or 1.0
    direction = torch.from_numpy(head.weight / np.float32(length))
    rows = torch.cat([direction[None], _principal(head, draws, weights, components - 1)])
    weight = torch.zeros(1, components)
    weight[0, 0] = length
    return {
        "centre": torch.from_numpy(head.centre),
        "spread": torch.from_numpy(head.spread),
        "projection.weight": rows.half(),
        "projection.bias": torch.zeros(components).half(),
        "head.weight": weight.half(),
        "head.bias": torch.tensor([head.bias]),
    }


def stored_as(
    tensors: Mapping[str, Tensor], features: NDArray[np.floating], logits: NDArray[np.float64]
) -> NDArray[np.float16]:
    """Project features as an encoder detector stores them, (N, K), such that its head gives those logits, (N,).

    With logits of heads that never saw the images, a refit that replays them is told nothing too good to be true.
    """
    standard = (torch.from_numpy(features.astype(np.float32)) - tensors["centre"]) / tensors["spread"]
    stored: NDArray[np.float32] = (standard @ tensors["projection.weight"].float().T).numpy()
    stored[:, 0] = (logits - float(tensors["head.bias"])) / float(tensors["head.weight"][0, 0])
    return stored.astype(np.float16)


def _principal(
    head: LinearHead, draws: Sequence[NDArray[np.floating]], weights: NDArray[np.float64], count: int
) -> Tensor:
    """Find principal directions of the standardised features, the widest first: (count, F)."""
    mass = torch.from_numpy(weights.astype(np.float32))
    covariance = torch.zeros(len(head.centre), len(head.centre))
    for draw in draws:
        standard = torch.from_numpy((draw.astype(np.float32) - head.centre) / head.spread)
        covariance += (standard * mass[:, None]).T @ standard / len(draws)
    directions = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :count].T
    lacking = count - len(directions)
    return torch.cat([directions, torch.zeros(lacking, directions.shape[1])]) if lacking > 0 else directions
