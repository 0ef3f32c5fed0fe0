"""SRM detector: how differences of neighbouring pixels go together, in native crops → logit.

A spatial rich model (Fridrich & Kodovsky 2012, doi:10.1109/TIFS.2012.2190402): differences take the picture's content
off, what is left is cut to five levels, and triples of neighbours are counted. Cameras, scalers and generators leave
their own shares of triples, whatever the picture shows. Of the square roots of these shares the first whitened
principal components are told by their direction and their length: in which way a picture differs from the mean, and
how far. Else the few that differ most, being smooth or full of noise, would have the largest logits of all, whichever
way they differ. What is learnt are two linear functions, so little that sources nobody has seen are judged better than
by networks that start from nothing: one tells AI-generated pictures from photographs, the other from drawings by
programs, and the logit is about the lower of both. No single linear function can have photographs on one side of
AI-generated pictures and drawings on the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from worker.detectors.detector import OneNetwork
from worker.detectors.pixels import PIXEL_MEAN, PIXEL_SPREAD
from worker.images.views import ViewPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

_LEVELS = 5  # of a difference: -2 to 2
_TRIPLES = _LEVELS**3
_LUMA = (77, 150, 29)  # of 256: ITU-R BT.601
_PLANES = 3  # brightness, and how far blue and red are from it
_ORDERS = 2  # of differences: first and second
_AGAINST = 2  # photographs, drawings by programs
_CPU_PASS_IMAGES = 4  # counted together: more outgrow the caches, and take half as long again
_SMALLEST = 8  # pixels a side of the smallest scale: below, there is hardly a triple
_CELL = 8  # pixels a side of a cell of a heatmap
_EPS = 1e-5  # beside the spread of a share that hardly differs between images
_NOTHING = 1e-6
_LEAST_SQUARE = 1e-3  # of components that are nothing, so that they have a direction and a logarithm
_LENGTH_WEIGHT = 3.0  # of the length, one number beside K others: regularised as these are, it would hardly count


@dataclass(frozen=True)
class SrmArchitecture:
    """What an SRM detector counts, and how many components its head reads.

    Attributes:
        scales: the crop itself, and how often it is halved and counted again.
        components: whitened principal components of the counts that the head is told of. What differs between sources
            fills the first; whitened, it counts no more than the rest.
    """

    scales: int = 3
    components: int = 150

    def __post_init__(self) -> None:
        """Raise ValueError for values with which nothing would be counted."""
        if self.scales < 1:
            raise ValueError(f"scales = {self.scales}: the crop itself is one")
        if self.components < 1:
            raise ValueError(f"components = {self.components}: without one the head is told nothing")


@dataclass(frozen=True)
class _Triples:
    """Triples along rows and those down columns, of one order of differences at one scale.

    Attributes:
        directions: two of (N, 3, h, w), 0 to 124.
        shares: (N, 3, C), of each class of triples, over both directions.
    """

    directions: tuple[Tensor, Tensor]
    shares: Tensor


class SrmNetwork(nn.Module):
    """Counts and head, against photographs and against drawings: (N, 3, H, W) → (N,) logits."""

    classes: Tensor

    def __init__(self, architecture: SrmArchitecture, size: int) -> None:
        """Make a head with random weights.

        Raises:
            ValueError: halved so often, nothing is left of a crop of that size; or fewer numbers are counted than there
                shall be components.
        """
        super().__init__()
        if size >> (architecture.scales - 1) < _SMALLEST:
            raise ValueError(f"a crop of {size} pixels cannot be halved {architecture.scales - 1} times")
        self.scales = architecture.scales
        classes = _classes()
        self.register_buffer("classes", classes, persistent=False)  # (125,), the class of each triple
        self.class_count = int(classes.max()) + 1
        width = self.scales * _ORDERS * _PLANES * self.class_count
        if architecture.components > width:
            raise ValueError(f"components = {architecture.components}: only {width} numbers are counted")
        self.head = nn.Sequential(
            nn.BatchNorm1d(width, _EPS, affine=False),  # its mean and spread keep the weights small enough for float16
            nn.Linear(width, architecture.components),
            DirectionAndLength(),
            nn.Linear(architecture.components + 1, _AGAINST),
        )

    def features(self, pixels: Tensor) -> Tensor:
        """Give the square roots of the shares, (N, F) float32, of (N, 3, H, W) normalised pixels."""
        together = _CPU_PASS_IMAGES if pixels.device.type == "cpu" else max(1, len(pixels))
        return torch.cat([_roots(self._counted(part)) for part in torch.split(pixels, together)])

    def forward(self, pixels: Tensor) -> Tensor:
        """Judge (N, 3, H, W) normalised pixels: (N,) logits."""
        return lower_of(self.head(self.features(pixels)))

    def normalised_by(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Learn the mean and spread of features, (N, F), and give them normalised as the head will."""
        mean, variance = features.mean(axis=0, dtype="f8"), features.var(axis=0, dtype="f8")
        self.get_buffer("head.0.running_mean").copy_(torch.from_numpy(mean))
        self.get_buffer("head.0.running_var").copy_(torch.from_numpy(variance))
        normal: NDArray[np.float32] = (features - mean.astype("f4")) / ((variance + _EPS) ** 0.5).astype("f4")
        return normal

    def evidence(self, pixels: Tensor) -> Tensor:
        """Say what each cell of 8x8 pixels adds to the logit: (N, 3, H, W) normalised → (N, h, w).

        Both functions are weighed by how much of the logit is theirs, so what makes it no drawing shows where a
        drawing is what it most resembles. Shared out is the direction's part: the length is the whole picture's. The
        mean over all cells is the weighed mean of both functions without their biases and the length's part: the
        logit, but for these and for at most ln 2. For a share p with the mean m, weighed w over a spread s,
        w (√p - √m) / s is w / s (√p + √m) for each triple, less the same times m for all.
        """
        cells = (pixels.shape[-2] // _CELL, pixels.shape[-1] // _CELL)
        counted = list(self._counted(pixels))
        components = self.head[:2](_roots(counted))  # (N, K)
        owned = (-self.head[2:](components)).softmax(dim=1)  # (N, 2), how much of the logit is each function's
        of_direction = owned @ self.get_parameter("head.3.weight")[:, :-1] / _length(components)  # (N, K)
        parts = of_direction @ self.get_parameter("head.1.weight")
        parts = parts.view(len(pixels), -1, _PLANES, self.class_count)
        means = self.get_buffer("head.0.running_mean").view(parts.shape[1:])
        spreads = (self.get_buffer("head.0.running_var") + _EPS).sqrt().view(parts.shape[1:])
        evidence = torch.zeros(len(pixels), *cells, device=pixels.device)
        for place, triples in enumerate(counted):
            mean = means[place]
            each = parts[:, place] / spreads[place] / (triples.shares.sqrt() + mean).clamp(min=_NOTHING)  # (N, 3, C)
            expected = (each * mean**2).sum(dim=(1, 2))  # (N,)
            by_triple = each[..., self.classes]  # (N, 3, 125)
            for bins in triples.directions:
                of_each = by_triple.gather(2, bins.flatten(2).long()).view(bins.shape).sum(dim=1)  # (N, h, w)
                evidence += 0.5 * _by_cell(of_each - expected[:, None, None], cells)
        return evidence

    def _counted(self, pixels: Tensor) -> Iterator[_Triples]:
        """Count the triples of (N, 3, H, W) normalised pixels, order by order within scale by scale."""
        # Whole again: else what lies half-way between two levels at the next scale would be rounded as a device likes.
        levels = ((pixels.float() * PIXEL_SPREAD + PIXEL_MEAN) * 255.0).round()
        for scale in range(self.scales):
            levels = avg_pool2d(levels, 2) if scale else levels
            across = down = _planes(levels.round().int())
            for _ in range(_ORDERS):
                across, down = across.diff(dim=-1), down.diff(dim=-2)
                directions = self._triples(across, -1), self._triples(down, -2)
                counts = sum(map(self._counts, directions), torch.zeros((), device=pixels.device))
                yield _Triples(directions, counts / counts.sum(dim=-1, keepdim=True))

    @staticmethod
    def _triples(differences: Tensor, axis: int) -> Tensor:
        levels = differences.clamp(-2, 2).char() + 2
        length = levels.shape[axis] - 2
        first, second, third = (levels.narrow(axis, start, length) for start in range(3))
        triples: Tensor = (first * _LEVELS + second) * _LEVELS + third  # (N, 3, h, w), 0 to 124
        return triples

    def _counts(self, triples: Tensor) -> Tensor:
        """Count (N, 3, h, w) triples by class: (N, 3, C) float32."""
        images, planes = triples.shape[:2]
        histogram = torch.arange(images * planes, device=triples.device, dtype=torch.int32).view(images, planes, 1, 1)
        counts = torch.bincount((triples + histogram * _TRIPLES).flatten(), minlength=images * planes * _TRIPLES)
        merged = torch.zeros(images * planes, self.class_count, device=triples.device)
        merged.index_add_(1, self.classes, counts.view(images * planes, _TRIPLES).float())
        return merged.view(images, planes, self.class_count)


class DirectionAndLength(nn.Module):
    """Components, (N, K) → (N, K + 1): divided by their root mean square, and thrice the log of its square."""

    def forward(self, components: Tensor) -> Tensor:
        """Split a vector of counts into its direction and its length."""
        length = _length(components)
        return torch.cat([components / length, _LENGTH_WEIGHT * 2.0 * length.log()], dim=1)


def _length(components: Tensor) -> Tensor:
    """Give the root mean square of (N, K) components: (N, 1)."""
    return (components.square().mean(dim=1, keepdim=True) + _LEAST_SQUARE).sqrt()


def _roots(counted: Iterable[_Triples]) -> Tensor:
    """Lay the square roots of the shares of all scales and orders side by side: (N, F)."""
    return torch.cat([triples.shares.flatten(1) for triples in counted], dim=1).sqrt()


def lower_of(against: Tensor) -> Tensor:
    """Give the logit of AI-generated, (N,), of those against photographs and against drawings, (N, 2).

    Odds against either are those of one divided by the sum of both's inverses.
    """
    return -torch.logsumexp(-against, dim=1)


def _by_cell(values: Tensor, cells: tuple[int, int]) -> Tensor:
    """Average what lies in each cell, (N, h, w) → (N, *cells), so that the mean over all cells is that over all values.

    Triples are fewer than pixels: they are laid in the middle, and cells at the edge have a little less.
    """
    height, width = values.shape[1:]
    rows, columns = -(-height // cells[0]), -(-width // cells[1])
    free, beside = rows * cells[0] - height, columns * cells[1] - width
    padded = pad(values, (beside // 2, beside - beside // 2, free // 2, free - free // 2))
    return avg_pool2d(padded, (rows, columns)) * (padded[0].numel() / values[0].numel())


def _classes() -> Tensor:
    """Name the class of each triple, (125,): with all signs changed, or read backwards, it is of the same one."""
    triples = torch.arange(_TRIPLES).view(_LEVELS, _LEVELS, _LEVELS)
    backwards = triples.permute(2, 1, 0)
    alike = torch.stack([triples, backwards, triples.flip(0, 1, 2), backwards.flip(0, 1, 2)])
    classes: Tensor = torch.unique(alike.amin(dim=0).flatten(), return_inverse=True)[1]
    return classes


def _planes(levels: Tensor) -> Tensor:
    """Turn red, green and blue, 0 to 255, into brightness, and blue and red less it: (N, 3, H, W) int16."""
    red, green, blue = levels.unbind(dim=1)
    brightness = (red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]) >> 8
    return torch.stack([brightness, blue - brightness, red - brightness], dim=1).short()


class SrmDetector(OneNetwork):
    """Judges native crops by counts of their residuals."""

    name = "srm"

    def __init__(self, architecture: SrmArchitecture, plan: ViewPlan) -> None:
        """Build the network with random weights; weights are loaded by whoever has them."""
        self.plan = plan
        self.network: nn.Module = SrmNetwork(architecture, plan.size)

    def features(self, pixels: Tensor) -> Tensor:
        """Count triples: (N, 3, H, W) float32 normalised → (N, F)."""
        network = self.network
        assert isinstance(network, SrmNetwork)  # noqa: S101 (what the constructor made)
        return network.features(pixels)

    def judge(self, features: Tensor) -> Tensor:
        """Judge counts: (N, F) → (N,) logits."""
        return lower_of(self.network.get_submodule("head")(features))

    def evidence(self, pixels: Tensor) -> Tensor:
        """Say what each cell adds to the logit: (N, 3, H, W) float32 normalised → (N, h, w) float32."""
        network = self.network
        assert isinstance(network, SrmNetwork)  # noqa: S101 (what the constructor made)
        return network.evidence(pixels)

    def heatmap_layer(self) -> nn.Module:
        """Name the head: its weights are shared out among the pixels that were counted."""
        return self.network.get_submodule("head")
