"""Calibration: logits → fused logit → probability → thresholds; pure arithmetic, no numpy, no torch, no files.

A bundle brings the fusion, the calibrations and the figures; a policy brings budgets and the prior shift. What they
make of each other is decided here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.decisions.bounds import LEAST_SOURCES, certified_errors, errors_over_sources

# Probabilities stay this far from 0 and 1, so that every one has a finite logit.
EDGE = 1e-7
# How far above a held-out photograph's probability a threshold must lie to leave it out, JSON rounding included.
CLEARANCE = 1e-6
_COVARIATE_LIMIT = 3.0
_EVEN = 0.5
EACH_SOURCE = "each source"
OVER_SOURCES = "over sources"


def sigmoid(logit: float) -> float:
    """Turn a logit into a probability in [EDGE, 1 - EDGE]; never overflows."""
    probability = 1.0 / (1.0 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1.0 + math.exp(logit))
    return min(max(probability, EDGE), 1.0 - EDGE)


def logit_of(probability: float) -> float:
    """Turn a probability into its logit; probabilities nearer than EDGE to 0 or 1 count as that near."""
    inside = min(max(probability, EDGE), 1.0 - EDGE)
    return math.log(inside) - math.log1p(-inside)


def shift(probability: float, prior_shift: float) -> float:
    """Move a probability by a logit offset: how much likelier AI-generated images are here than in calibration."""
    return sigmoid(logit_of(probability) + prior_shift)


@dataclass(frozen=True)
class Calibration:
    """A monotone map from a detector's or the fused logit to a probability.

    Attributes:
        method: `temperature` (logit / t), `platt` (a·logit + b), or `beta` (a·ln p - b·ln(1 - p) + c with p the
            logistic of the logit; Kull, Silva Filho & Flach 2017).
        parameters: (t,), (a, b) or (a, b, c); t, a and b are not negative, which makes the map monotone.
    """

    method: str
    parameters: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse unknown methods and parameters that would turn the order of images round."""
        counts = {"temperature": 1, "platt": 2, "beta": 3}
        if self.method not in counts:
            message = f"unknown calibration method {self.method!r}; known are {', '.join(counts)}"
            raise ValueError(message)
        if len(self.parameters) != counts[self.method] or not all(math.isfinite(p) for p in self.parameters):
            message = f"{self.method} takes {counts[self.method]} finite parameters, got {self.parameters}"
            raise ValueError(message)
        slopes = self.parameters[:1] if self.method != "beta" else self.parameters[:2]
        if min(slopes) < 0 or max(slopes) == 0:
            message = f"{self.method} parameters {self.parameters} are not monotone"
            raise ValueError(message)

    def calibrated_logit(self, logit: float) -> float:
        """Map a raw logit to a calibrated one."""
        if self.method == "temperature":
            return logit / self.parameters[0]
        if self.method == "platt":
            return self.parameters[0] * logit + self.parameters[1]
        a, b, c = self.parameters
        # ln p = -softplus(-z) and -ln(1 - p) = softplus(z), both without ever leaving the finite numbers.
        return -a * _softplus(-logit) + b * _softplus(logit) + c

    def probability(self, logit: float) -> float:
        """Map a raw logit to a calibrated probability in [EDGE, 1 - EDGE]."""
        return sigmoid(self.calibrated_logit(logit))

    def to_json(self) -> dict[str, Any]:
        """Write as plain JSON values."""
        return {"method": self.method, "parameters": [float(p) for p in self.parameters]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """Read what `to_json` wrote."""
        return cls(str(value["method"]), tuple(float(p) for p in value["parameters"]))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@dataclass(frozen=True)
class Fusion:
    """Logistic stacking: the detectors' logits and quality covariates, weighed and summed.

    Attributes:
        weights: one for each detector, by name.
        covariates: (weight, mean, spread) of each covariate, in order; values are standardised and limited to ±3, so
            an odd image cannot buy a verdict with its sharpness.
        bias: added to the sum.
    """

    weights: Mapping[str, float]
    covariates: tuple[tuple[float, float, float], ...]
    bias: float

    def fuse(self, logits: Mapping[str, float], covariates: Sequence[float]) -> float:
        """Return the fused logit, a weighted sum; inputs must be those that the fusion was fitted on."""
        total = self.bias + sum(weight * logits[name] for name, weight in self.weights.items())
        for (weight, mean, spread), value in zip(self.covariates, covariates, strict=True):
            standard = (value - mean) / spread
            total += weight * min(max(standard, -_COVARIATE_LIMIT), _COVARIATE_LIMIT)
        return total

    def to_json(self) -> dict[str, Any]:
        """Write as plain JSON values."""
        return {
            "weights": {name: float(weight) for name, weight in self.weights.items()},
            "covariates": [[float(number) for number in covariate] for covariate in self.covariates],
            "bias": float(self.bias),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fusion:
        """Read what `to_json` wrote."""
        covariates = tuple((float(w), float(m), float(s)) for w, m, s in value["covariates"])
        return cls({str(k): float(v) for k, v in value["weights"].items()}, covariates, float(value["bias"]))


@dataclass(frozen=True)
class CalibrationFigures:
    """What the bundle gave on held-out images: the ground every threshold stands on.

    Attributes:
        negatives: probabilities of images that are not AI-generated, ascending, before any prior shift.
        positives: probabilities of AI-generated images, ascending, before any prior shift.
        scope: in words, which images the figures speak of.
        by_source: the negatives again, by where they come from; empty where that is not known.
        bound: how thresholds mind sources: `EACH_SOURCE` or `OVER_SOURCES`; see `derive_thresholds`. Bundles made
            before there was a choice have the first.
    """

    negatives: tuple[float, ...]
    positives: tuple[float, ...]
    scope: str
    by_source: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    bound: str = EACH_SOURCE
    # Thresholds worked out before, by budgets and shift: they take milliseconds, and every verdict needs them.
    _derived: dict[tuple[float, float, float], Thresholds] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of(
        cls,
        negatives: Sequence[float],
        positives: Sequence[float],
        scope: str,
        sources: Sequence[str] = (),
        bound: str = EACH_SOURCE,
    ) -> CalibrationFigures:
        """Sort and round what was measured; `sources` are the negatives', in their order.

        Raises:
            ValueError: no such bound.
        """
        if bound not in {EACH_SOURCE, OVER_SOURCES}:
            message = f"unknown bound {bound!r}; known are {EACH_SOURCE}, {OVER_SOURCES}"
            raise ValueError(message)
        by_source: dict[str, list[float]] = {}
        for source, probability in zip(sources, negatives, strict=bool(sources)):
            by_source.setdefault(source, []).append(probability)
        parts = {source: _sorted(of_source) for source, of_source in sorted(by_source.items())}
        return cls(_sorted(negatives), _sorted(positives), scope, parts, bound)

    def to_json(self) -> dict[str, Any]:
        """Write as plain JSON values, counts included for readers."""
        return {
            "scope": self.scope,
            "negative_count": len(self.negatives),
            "positive_count": len(self.positives),
            "negatives": list(self.negatives),
            "positives": list(self.positives),
            **({"negatives_by_source": {k: list(v) for k, v in self.by_source.items()}} if self.by_source else {}),
            **({"bound": self.bound} if self.bound != EACH_SOURCE else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CalibrationFigures:
        """Read what `to_json` wrote."""
        parts = value.get("negatives_by_source") or {}
        negatives = [float(p) for of_source in parts.values() for p in of_source] or [
            float(p) for p in value["negatives"]
        ]
        sources = [str(source) for source, of_source in parts.items() for _ in of_source]
        positives, bound = [float(p) for p in value["positives"]], str(value.get("bound", EACH_SOURCE))
        return cls.of(negatives, positives, str(value["scope"]), sources, bound)


def _sorted(probabilities: Sequence[float]) -> tuple[float, ...]:
    return tuple(sorted(round(p, 7) for p in probabilities))


@dataclass(frozen=True)
class Thresholds:
    """Cuts on the shifted probability: above `upper` is AI-generated, below `lower` is not; between is uncertain."""

    lower: float
    upper: float


def is_accused(probability: Any, upper: Any) -> Any:
    """Tell whether a probability lies above the upper threshold; of arrays, element by element."""
    return probability > upper


def is_cleared(probability: Any, lower: Any) -> Any:
    """Tell whether a probability lies below the lower threshold; of arrays, element by element."""
    return probability < lower


def derive_thresholds(
    figures: CalibrationFigures, *, false_positive_budget: float, miss_budget: float, prior_shift: float = 0.0
) -> Thresholds:
    """Find the cuts that keep a policy's budgets on images like the held-out ones.

    The upper one is certified: at most as many held-out negatives lie above it as leave the one-sided 95 %
    Clopper-Pearson bound of the false-positive rate within the budget. With too few negatives to certify the budget
    at all (3/n for none wrong), it lies above every held-out negative, so none of them is accused, and at 1 where
    there is none. Images of a source resemble each other, so sources count too, as the figures' `bound` says. With
    `EACH_SOURCE` the budget is kept for every source by itself, as if the worst were what a new one will be like. With
    `OVER_SOURCES` a one-sided 95 % bound of the rate over sources drawn like these is kept, see `bounds`; below
    `LEAST_SOURCES` sources it falls back to the former. The lower one is the empirical quantile: at most the budgeted
    share of held-out positives lies below it. Lower never exceeds upper, nor one half: a budget is what may be missed,
    no leave to clear what is likelier AI-generated than not.

    Args:
        figures: of the bundle, before prior shift.
        false_positive_budget: tolerated share of negatives called AI-generated, in [0, 1].
        miss_budget: tolerated share of positives called not AI-generated, in [0, 1].
        prior_shift: logit offset that verdicts will be shifted by.
    """
    terms = (false_positive_budget, miss_budget, prior_shift)
    if (derived := figures._derived.get(terms)) is None:  # noqa: SLF001 - the two are one module's
        derived = figures._derived[terms] = _derive(figures, *terms)  # noqa: SLF001
    return derived


def _derive(
    figures: CalibrationFigures, false_positive_budget: float, miss_budget: float, prior_shift: float
) -> Thresholds:
    allowed = certified_errors(len(figures.negatives), false_positive_budget)
    upper = 1.0
    if allowed is not None and allowed >= len(figures.negatives):
        upper = 0.0
    elif figures.negatives:
        first_spared = _first_spared(figures, false_positive_budget, allowed or 0)
        upper = min(1.0, shift(first_spared, prior_shift) + CLEARANCE)
    missed = min(_share(miss_budget, figures.positives), len(figures.positives) - 1)
    lower = max(0.0, shift(figures.positives[missed], prior_shift) - CLEARANCE) if figures.positives else 0.0
    return Thresholds(lower=min(lower, upper, _EVEN), upper=upper)


def _first_spared(figures: CalibrationFigures, budget: float, allowed: int) -> float:
    """Find the most probable negative that must not be accused, `allowed` being how many may be, of all together."""
    if figures.bound == OVER_SOURCES and len(figures.by_source) >= LEAST_SOURCES:
        return figures.negatives[-1 - min(allowed, errors_over_sources(figures.by_source, budget))]
    spared = [figures.negatives[-1 - allowed]]
    spared += [
        of_source[-1 - min(_share(budget, of_source), len(of_source) - 1)] for of_source in figures.by_source.values()
    ]
    return max(spared)


def _share(budget: float, of: Sequence[float]) -> int:
    return math.floor(budget * len(of) + 1e-9)
