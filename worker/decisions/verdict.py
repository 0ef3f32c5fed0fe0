"""From probability and policy to a verdict. Pure: no clock, no settings, no I/O."""

from dataclasses import dataclass

from worker.decisions.calibration import CalibrationFigures, Thresholds, is_accused, is_cleared, shift
from worker.decisions.policy import Rules
from worker.decisions.vocabulary import DecidedBy, DeclaredOrigin, VerdictValue
from worker.provenance.findings import Provenance


@dataclass(frozen=True)
class Decision:
    """A verdict and the numbers that defend it.

    Attributes:
        verdict: what is said of the image.
        probability: calibrated P(AI-generated) with the prior shift, 0 to 1.
        thresholds: the cuts it was compared with.
        decided_by: the detectors (`machine`), or, whatever these say, a trusted signature (`provenance`) or the file's
            own word (`declared`).
    """

    verdict: VerdictValue
    probability: float
    thresholds: Thresholds
    decided_by: DecidedBy = DecidedBy.MACHINE


def decide(
    probability: float,
    rules: Rules,
    figures: CalibrationFigures,
    provenance: Provenance,
    gravest_frame: float | None = None,
) -> Decision:
    """Return the decision on an image: its verdict, its probability and what decided.

    Args:
        probability: calibrated P(AI-generated) of the bundle, 0 to 1, without prior shift.
        rules: the policy for the image's source.
        figures: the bundle's held-out probabilities, from which thresholds follow.
        provenance: what the file declares of itself.
        gravest_frame: of an animation the highest probability among the frames judged, likewise; None for still ones.
    """
    gravest = None if gravest_frame is None else shift(gravest_frame, rules.prior_shift)
    return judge(shift(probability, rules.prior_shift), rules, figures, provenance, gravest)


def judge(
    shifted: float,
    rules: Rules,
    figures: CalibrationFigures,
    provenance: Provenance,
    gravest_frame: float | None = None,
) -> Decision:
    """Decide an image whose probabilities have the prior shift of these rules already; otherwise as :func:`decide`.

    Provenance only ever makes a verdict graver. A trusted signature that says AI decides. Anybody can write a
    declaration, so the rules say what it is worth. A file whose signature is broken is not cleared.

    Of an animation one frame, chosen before anything is judged, accuses or clears like a still picture. Any other can
    only keep it from being cleared: the share of photographs that are accused stays what the thresholds promise.
    """
    thresholds = rules.thresholds(figures)
    verdict, decided_by = weigh(shifted, thresholds, provenance, rules.declared_origin, gravest_frame)
    return Decision(verdict, shifted, thresholds, decided_by)


def weigh(
    shifted: float,
    thresholds: Thresholds,
    provenance: Provenance,
    declared_origin: DeclaredOrigin,
    gravest_frame: float | None = None,
) -> tuple[VerdictValue, DecidedBy]:
    """Return the verdict, and what decided it: a trusted signature, the file's own word, else the pixels.

    What a file says of itself only ever makes a verdict graver: nothing declared clears.

    Args:
        shifted: probability with the prior shift that the thresholds were derived with.
        thresholds: the cuts.
        provenance: what the file says of its origin.
        declared_origin: what the policy makes of that where nobody trusted vouches for it.
        gravest_frame: of an animation the highest probability among the frames judged; None for still pictures.
    """
    if provenance.decides:
        return VerdictValue.AI_GENERATED, DecidedBy.PROVENANCE
    if provenance.strongly_declares and declared_origin is DeclaredOrigin.DECIDES:
        return VerdictValue.AI_GENERATED, DecidedBy.DECLARED
    verdict = compare(shifted, thresholds)
    ignored = declared_origin is DeclaredOrigin.IGNORE
    bars = provenance.bars_clearing_by_itself if ignored else provenance.bars_clearing
    bars = bars or (gravest_frame is not None and not is_cleared(gravest_frame, thresholds.lower))
    if verdict is VerdictValue.NOT_AI_GENERATED and bars:
        verdict = VerdictValue.UNCERTAIN
    return verdict, DecidedBy.MACHINE


def compare(probability: float, thresholds: Thresholds) -> VerdictValue:
    """Return ``ai_generated`` above the upper threshold, ``not_ai_generated`` below the lower, else ``uncertain``."""
    if is_accused(probability, thresholds.upper):
        return VerdictValue.AI_GENERATED
    if is_cleared(probability, thresholds.lower):
        return VerdictValue.NOT_AI_GENERATED
    return VerdictValue.UNCERTAIN
