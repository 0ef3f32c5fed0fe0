"""Bounds: what errors in so many images prove of an error rate; pure arithmetic.

Over images drawn one by one the bound is exact (Clopper & Pearson 1934). But images of a source are judged alike, so
thousands of images of a few dozen sources prove less. Over sources the rate is a ratio of two sums, and its spread is
that of sources (linearised ratio estimator: Cochran, Sampling Techniques, 1977, section 6.4).
"""

from __future__ import annotations

import math
from itertools import islice
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONFIDENCE_ALPHA = 0.05
# Fewer are too few for a spread between them.
LEAST_SOURCES = 20


def rate_over_sources_at_most(errors: Sequence[int], sizes: Sequence[int], alpha: float = CONFIDENCE_ALPHA) -> float:
    """Bound the error rate of sources drawn like these from above, one-sided, with confidence 1 - alpha.

    Args:
        errors: of each source, at most its size.
        sizes: images of each source; two sources at least.
        alpha: between 0 and 1.
    """
    squares, products = sum(a * a for a in errors), sum(a * n for a, n in zip(errors, sizes, strict=True))
    return _at_most(sum(errors), squares, products, _Sizes.of(sizes), NormalDist().inv_cdf(1.0 - alpha))


def errors_over_sources(
    by_source: Mapping[str, Sequence[float]], budget: float, alpha: float = CONFIDENCE_ALPHA
) -> int:
    """Count how many of the most probable negatives may be accused with the bound of the rate still in the budget.

    Args:
        by_source: probabilities of negatives, in any order; two sources at least.
        budget: tolerated share of negatives called AI-generated.
        alpha: between 0 and 1.
    """
    sizes, quantile = _Sizes.of([len(of_source) for of_source in by_source.values()]), NormalDist().inv_cdf(1.0 - alpha)
    ranked = sorted(((p, source) for source, of_source in by_source.items() for p in of_source), reverse=True)
    accused = dict.fromkeys(by_source, 0)
    squares = products = 0
    for count, (_, source) in enumerate(ranked, 1):
        squares += 2 * accused[source] + 1
        products += len(by_source[source])
        accused[source] += 1
        if _at_most(count, squares, products, sizes, quantile) > budget:
            return count - 1
    return len(ranked)


class _Sizes:
    """Count, sum and sum of squares of the sources' sizes."""

    def __init__(self, count: int, total: int, squares: int) -> None:
        self.count, self.total, self.squares = count, total, squares

    @classmethod
    def of(cls, sizes: Sequence[int]) -> _Sizes:
        return cls(len(sizes), sum(sizes), sum(n * n for n in sizes))


def _at_most(errors: int, squares: int, products: int, sizes: _Sizes, quantile: float) -> float:
    """Bound the rate by sums over sources: of errors, their squares, and errors times sizes."""
    if not errors:
        return 0.0
    rate = errors / sizes.total
    residual = max(0.0, squares - 2.0 * rate * products + rate * rate * sizes.squares)
    spread = math.sqrt(residual * sizes.count / (sizes.count - 1)) / sizes.total
    # On a logarithmic scale: rare errors are skewed, and a symmetric bound would lie too low.
    return min(1.0, rate * math.exp(quantile * spread / rate))


def certified_errors(n: int, budget: float, alpha: float = CONFIDENCE_ALPHA) -> int | None:
    """Count how many errors in n still certify the budget; None where even none at all does not."""
    if n == 0 or budget <= 0.0:
        return None
    if budget >= 1.0:
        return n
    # The bound of k errors is within the budget exactly when k or fewer are improbable at the budget's rate.
    within = None
    for errors, cumulated in enumerate(_binomial_cdf(n, budget)):
        if cumulated > alpha:
            break
        within = errors
    return within


def clopper_pearson_upper(errors: int, n: int, alpha: float = CONFIDENCE_ALPHA) -> float:
    """Bound an error rate from above: one-sided, exact, with confidence 1 - alpha (Clopper & Pearson 1934)."""
    if not 0 <= errors <= n or n < 1:
        message = f"{errors} errors in {n} is not a rate"
        raise ValueError(message)
    if errors == n:
        return 1.0
    low, high = errors / n, 1.0
    for _ in range(60):  # halving 60 times reaches the resolution of a double
        middle = 0.5 * (low + high)
        if next(islice(_binomial_cdf(n, middle), errors, None)) > alpha:
            low = middle
        else:
            high = middle
    return high


def _binomial_cdf(n: int, rate: float) -> Iterator[float]:
    """P(K <= k) for k = 0 … n, K binomial(n, rate) with rate in (0, 1], by logs so that nothing underflows early."""
    if rate >= 1.0:
        yield from [0.0] * n
        yield 1.0
        return
    log_odds = math.log(rate) - math.log1p(-rate)
    log_mass = n * math.log1p(-rate)
    cumulated = math.exp(log_mass)
    yield min(cumulated, 1.0)
    for k in range(1, n + 1):
        log_mass += math.log((n - k + 1) / k) + log_odds
        cumulated += math.exp(log_mass)
        yield min(cumulated, 1.0)
