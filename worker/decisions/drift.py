"""Drift: how a day's verdicts of a source differ from those before. Pure arithmetic over counts."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

_BINS = 10
# A share that is zero would make the index infinite; half an image keeps it finite and small.
_HALF = 0.5
# Fewer images say little: an index over them is noise.
LEAST_IMAGES = 100
_UNCHANGED = 0.1  # up to it an index is read as no change


@dataclass(frozen=True)
class VerdictCounts:
    """What was judged of one source in one stretch of time.

    Attributes:
        percents: whole percent of the probability, 0 to 99, to images.
        verdicts: verdict to images.
        disagreed: images whose detectors lay on different sides of one half.
    """

    percents: Mapping[int, int]
    verdicts: Mapping[str, int]
    disagreed: int

    @property
    def images(self) -> int:
        """Count the verdicts of the day."""
        return sum(self.verdicts.values())


def measures(today: VerdictCounts, before: VerdictCounts) -> dict[str, Any]:
    """Compare a day with the weeks before it.

    Returns:
        `images`, `reference_images`; `uncertain`, `flagged` and `disagreement`, shares of the day, and the same with
        `_before`; `psi`, the population stability index of the probabilities. Up to 0.1 nothing has changed, from 0.25
        something has (the usual reading; Siddiqi 2006). None where either side has fewer than LEAST_IMAGES, or where
        so few images of one kind give more than 0.1 on average: (tenths - 1) * (1/before + 1/today).
    """
    figures: dict[str, Any] = {"images": today.images, "reference_images": before.images}
    for name, counts in (("", today), ("_before", before)):
        figures |= {
            f"uncertain{name}": _share(counts.verdicts.get("uncertain", 0), counts.images),
            f"flagged{name}": _share(counts.verdicts.get("ai_generated", 0), counts.images),
            f"disagreement{name}": _share(counts.disagreed, counts.images),
        }
    enough = min(today.images, before.images) >= LEAST_IMAGES and _by_chance(today.images, before.images) <= _UNCHANGED
    return {**figures, "psi": psi(before.percents, today.percents) if enough else None}


def _by_chance(today: int, before: int) -> float:
    return (_BINS - 1) * (1 / before + 1 / today)


@dataclass(frozen=True)
class Moments:
    """What the CLIP detector saw in images, summed up.

    Attributes:
        images: how many.
        mean: of each feature.
        deviation: of each feature, 0 where it is constant.
    """

    images: int
    mean: Sequence[float]
    deviation: Sequence[float]


def moments_of(features: Sequence[bytes]) -> Moments | None:
    """Sum up features of images, float16, little-endian; None without any, or where they are of different lengths."""
    if len({len(one) for one in features}) != 1:
        return None
    columns = list(zip(*map(_unpacked, features), strict=True))
    means = [fmean(values) for values in columns]
    spreads = [
        fmean([value * value for value in values]) - mean**2 for values, mean in zip(columns, means, strict=True)
    ]
    return Moments(len(features), means, [math.sqrt(max(spread, 0.0)) for spread in spreads])


def feature_shift(before: Moments | None, today: Moments | None) -> float | None:
    """Tell how far the mean of what the CLIP detector saw has moved, in standard deviations, averaged over features.

    Returns:
        0 for no change; samples of one kind give about 0.8 * sqrt(1/before + 1/today). None for fewer than
        LEAST_IMAGES, or for features of two detectors.
    """
    if before is None or today is None or min(before.images, today.images) < LEAST_IMAGES:
        return None
    if len(before.mean) != len(today.mean):
        return None
    sides = zip(before.mean, today.mean, before.deviation, strict=True)
    shifts = [abs(new - old) / spread for old, new, spread in sides if spread > 0]
    return fmean(shifts) if shifts else 0.0


def _unpacked(features: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(features) // 2}e", features)


def psi(before: Mapping[int, int], today: Mapping[int, int]) -> float:
    """Return the population stability index of two histograms, over bins of the first one's tenths.

    Args:
        before: value to count, the reference; not empty.
        today: value to count; not empty.
    """
    edges = tenths(before) or [min(before) - 1, max(before)]  # of a constant: below it, it, above it
    expected, actual = _binned(before, edges), _binned(today, edges)
    return sum((q - p) * math.log(q / p) for p, q in zip(expected, actual, strict=True))


def tenths(counts: Mapping[int, int]) -> list[int]:
    """Return the bounds that split a histogram into ten equal parts; a bound that repeats is given once."""
    total, cumulated = sum(counts.values()), 0
    edges: list[int] = []
    for value in sorted(counts):
        cumulated += counts[value]
        if cumulated * _BINS >= total * (len(edges) + 1):
            edges.append(value)
            while cumulated * _BINS >= total * (len(edges) + 1):
                edges.append(value)
    return sorted(set(edges))[:-1]


def _binned(counts: Mapping[int, int], edges: Sequence[int]) -> list[float]:
    bins = [0] * (len(edges) + 1)
    for value, count in counts.items():
        bins[sum(value > edge for edge in edges)] += count
    total = sum(bins) + _HALF * len(bins)
    return [(count + _HALF) / total for count in bins]


def _share(count: int, of: int) -> float | None:
    return count / of if of else None
