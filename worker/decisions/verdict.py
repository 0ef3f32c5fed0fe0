"""From probability and policy to a verdict. Pure: no clock, no settings, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.decisions.calibration import CalibrationFigures, Thresholds, derive_thresholds, shift
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.provenance.findings import Provenance


@dataclass(frozen=True)
class Rules:
    """A policy version as it applies to one source."""

    false_positive_budget: float
    miss_budget: float
    prior_shift: float


@dataclass(frozen=True)
class Decision:
    """A verdict and the numbers that defend it.

    Attributes:
        verdict: what is said of the image.
        probability: calibrated P(AI-generated) with the prior shift, 0 to 1.
        thresholds: the cuts it was compared with.
        decided_by: the detectors (`machine`), or a trusted signature whatever these say (`provenance`).
    """

    verdict: VerdictValue
    probability: float
    thresholds: Thresholds
    decided_by: DecidedBy = DecidedBy.MACHINE


def rules_for(policy: Mapping[str, Any], source: str) -> Rules:
    """Return a policy's rules for a source; what the source does not set is the policy's own.

    Args:
        policy: ``prior_shift``, ``false_positive_budget``, ``miss_budget`` and
            ``by_source``, source to budgets; a source also answers for the
            folders below it.
        source: where the image comes from, such as ``uploads/avatars``.
    """
    by_source = policy["by_source"]
    own = by_source.get(source) or by_source.get(source.split("/", 1)[0]) or {}
    return Rules(
        own.get("false_positive_budget", policy["false_positive_budget"]),
        own.get("miss_budget", policy["miss_budget"]),
        policy["prior_shift"],
    )


def decide(probability: float, rules: Rules, figures: CalibrationFigures, provenance: Provenance) -> Decision:
    """Decide an image.

    Args:
        probability: calibrated P(AI-generated) of the bundle, 0 to 1, without prior shift.
        rules: the policy for the image's source.
        figures: the bundle's held-out probabilities, from which thresholds follow.
        provenance: what the file declares of itself.
    """
    return judge(shift(probability, rules.prior_shift), rules, figures, provenance)


def judge(shifted: float, rules: Rules, figures: CalibrationFigures, provenance: Provenance) -> Decision:
    """Decide an image whose probability has the prior shift of these rules already; otherwise as :func:`decide`.

    Provenance only ever makes a verdict graver. A trusted signature that says AI decides. Anyone can write a tag, so
    a tag accuses nobody; but a file that says it is AI, or whose signature is broken, is not cleared either.
    """
    thresholds = derive_thresholds(
        figures,
        false_positive_budget=rules.false_positive_budget,
        miss_budget=rules.miss_budget,
        prior_shift=rules.prior_shift,
    )
    if provenance.decides:
        return Decision(VerdictValue.AI_GENERATED, shifted, thresholds, DecidedBy.PROVENANCE)
    verdict = compare(shifted, thresholds)
    if verdict is VerdictValue.NOT_AI_GENERATED and provenance.bars_clearing:
        verdict = VerdictValue.UNCERTAIN
    return Decision(verdict, shifted, thresholds)


def compare(probability: float, thresholds: Thresholds) -> VerdictValue:
    """Return ``ai_generated`` above the upper threshold, ``not_ai_generated`` below the lower, else ``uncertain``."""
    if probability > thresholds.upper:
        return VerdictValue.AI_GENERATED
    if probability < thresholds.lower:
        return VerdictValue.NOT_AI_GENERATED
    return VerdictValue.UNCERTAIN
