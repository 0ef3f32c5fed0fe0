"""The schedule of a fit: learning rate, which rows are drawn, what decays, and the moving average of weights."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from training.evaluation.ground_truth import GroundTruth
    from training.recipe import Fit


def learning_rate_at(progress: float, fit: Fit) -> float:
    """Rise linearly during the warm-up, then fall along a cosine to zero; progress runs from 0 to 1."""
    if progress < fit.warm_up:
        return fit.learning_rate * (progress / fit.warm_up)
    along = (progress - fit.warm_up) / (1.0 - fit.warm_up)
    return fit.learning_rate * 0.5 * (1.0 + math.cos(math.pi * along))


def steps_of(fit: Fit, rows: int) -> int:
    """Count the steps of all epochs."""
    return max(1, math.ceil(fit.epochs * rows / fit.batch_size))


def sampling_weights(rows: GroundTruth, emphasis: Mapping[str, float]) -> NDArray[np.float64]:
    """Weigh rows so that both classes come equally often, and big sources do not drown small ones.

    Within a class a source's share grows with the square root of its size, times its emphasis where it has one.
    Returns (N,), summing to 1.
    """
    weights = np.zeros(len(rows.labels), dtype=np.float64)
    for label in (0, 1):
        of_label = rows.labels == label
        names, counts = np.unique(rows.sources[of_label], return_counts=True)
        shares = np.sqrt(counts) * [emphasis.get(name, 1.0) for name in names.tolist()]
        roots = dict(zip(names.tolist(), shares / counts, strict=True))
        raw = np.array([roots[source] for source in rows.sources[of_label].tolist()])
        weights[of_label] = raw / raw.sum()
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels; leave biases, norms, scales and embeddings alone. Frozen parameters are left out.

    What is not decayed is not orthogonalised by Muon either: an embedding is a table, no map from one space to another.
    """
    tables = _tables(network)
    decayed: list[nn.Parameter] = []
    left_alone: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            (left_alone if parameter.ndim <= 1 or name in tables else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": left_alone, "weight_decay": 0.0, "use_fallback": True},
    ]


def _tables(network: nn.Module) -> set[str]:
    """Name what a network itself says is not to be decayed, in timm's and open_clip's way."""
    return {
        f"{path}.{name}".lstrip(".")
        for path, module in network.named_modules()
        if hasattr(module, "no_weight_decay")
        for name in module.no_weight_decay()
    }


def keep_of(fit: Fit, step: int, progress: float) -> float:
    """Say what share of the averaged weights a step keeps.

    The half-life is a share of the schedule; early on a shorter one forgets the random start.
    """
    if not fit.ema_half_life:
        return 0.0
    half_life = min(fit.ema_half_life * step / max(progress, 1e-6), 0.1 * step + 1.0)
    return float(0.5 ** (1.0 / half_life))


class AveragedWeights:
    """An exponential moving average of a network's weights, which is what gets shipped."""

    def __init__(self, network: nn.Module) -> None:
        """Start from the weights as they are."""
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, keep: float) -> None:
        """Move towards the network's weights, keeping the share `keep` of the old average."""
        for name, value in network.state_dict().items():
            if value.is_floating_point() and keep:
                self.values[name].lerp_(value, 1.0 - keep)
            else:
                self.values[name].copy_(value)

    @contextmanager
    def lent_to(self, network: nn.Module) -> Iterator[None]:
        """Let a network judge with the averaged weights, in evaluation mode; its own come back afterwards."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.values)
        network.eval()
        try:
            yield
        finally:
            network.load_state_dict(own)
            network.train()
