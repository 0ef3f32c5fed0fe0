"""From probability and policy to a verdict: monotone, and a declaration never clears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.decisions.calibration import CalibrationFigures, Thresholds
from worker.decisions.verdict import Rules, compare, decide, rules_for
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.provenance.findings import Manifest, Provenance, Says, SignatureState

SILENT = Provenance()
DECLARED = Provenance(tags=("comfyui",))
SIGNED = Provenance(manifest=Manifest(SignatureState.TRUSTED, Says.AI_GENERATED))
ORDER = [VerdictValue.NOT_AI_GENERATED, VerdictValue.UNCERTAIN, VerdictValue.AI_GENERATED]

probabilities = st.floats(0, 1)
figures = st.builds(
    CalibrationFigures.of,
    st.lists(probabilities, max_size=400),
    st.lists(probabilities, max_size=60),
    st.just("made up"),
)
rules = st.builds(Rules, st.floats(0.001, 0.5), st.floats(0.001, 0.5), st.floats(-3, 3))


@given(figures, rules, probabilities, probabilities)
def test_a_higher_probability_never_gives_a_milder_verdict(
    held_out: CalibrationFigures, policy: Rules, one: float, other: float
) -> None:
    low, high = (decide(value, policy, held_out, SILENT) for value in sorted((one, other)))
    assert ORDER.index(low.verdict) <= ORDER.index(high.verdict)
    assert low.probability <= high.probability
    assert low.thresholds == high.thresholds


@given(figures, rules, probabilities)
def test_a_file_that_declares_ai_is_never_cleared_and_never_accused_for_it(
    held_out: CalibrationFigures, policy: Rules, probability: float
) -> None:
    silent = decide(probability, policy, held_out, SILENT)
    declared = decide(probability, policy, held_out, DECLARED)
    assert declared.verdict is not VerdictValue.NOT_AI_GENERATED
    if silent.verdict is not VerdictValue.NOT_AI_GENERATED:
        assert declared == silent
    assert (declared.probability, declared.thresholds) == (silent.probability, silent.thresholds)


manifests = st.builds(Manifest, st.sampled_from(SignatureState), st.none() | st.sampled_from(Says))
provenances = st.builds(Provenance, st.sampled_from([(), ("comfyui",)]), st.none() | manifests)


@given(figures, rules, probabilities)
def test_a_trusted_signature_that_says_ai_decides_whatever_the_pixels_say(
    held_out: CalibrationFigures, policy: Rules, probability: float
) -> None:
    decision = decide(probability, policy, held_out, SIGNED)
    assert (decision.verdict, decision.decided_by) == (VerdictValue.AI_GENERATED, DecidedBy.PROVENANCE)
    assert decision.probability == decide(probability, policy, held_out, SILENT).probability


@given(figures, rules, probabilities, provenances)
def test_provenance_only_ever_makes_a_verdict_graver_and_alone_accuses_only_by_a_trusted_signature(
    held_out: CalibrationFigures, policy: Rules, probability: float, provenance: Provenance
) -> None:
    silent = decide(probability, policy, held_out, SILENT)
    told = decide(probability, policy, held_out, provenance)
    assert ORDER.index(told.verdict) >= ORDER.index(silent.verdict)
    assert (told.decided_by is DecidedBy.PROVENANCE) == provenance.decides
    if told.verdict is VerdictValue.AI_GENERATED and silent.verdict is not VerdictValue.AI_GENERATED:
        assert provenance == Provenance(provenance.tags, Manifest(SignatureState.TRUSTED, Says.AI_GENERATED))


@given(figures, rules, probabilities, st.none() | st.sampled_from(Says))
def test_breaking_a_signature_never_clears_an_image(
    held_out: CalibrationFigures, policy: Rules, probability: float, says: Says | None
) -> None:
    broken = Provenance(manifest=Manifest(SignatureState.INVALID, says))
    assert decide(probability, policy, held_out, broken).verdict is not VerdictValue.NOT_AI_GENERATED


@given(figures, rules, probabilities)
def test_thresholds_are_in_order_and_the_verdict_is_where_the_probability_lies(
    held_out: CalibrationFigures, policy: Rules, probability: float
) -> None:
    decision = decide(probability, policy, held_out, SILENT)
    assert 0 <= decision.thresholds.lower <= decision.thresholds.upper <= 1
    assert decision.verdict is compare(decision.probability, decision.thresholds)


@given(rules, probabilities)
def test_a_bundle_that_was_never_measured_accuses_nobody(policy: Rules, probability: float) -> None:
    unmeasured = CalibrationFigures.of([], [], "nothing")
    assert decide(probability, policy, unmeasured, SILENT).verdict is VerdictValue.UNCERTAIN


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [
        (0.81, VerdictValue.AI_GENERATED),
        (0.8, VerdictValue.UNCERTAIN),
        (0.2, VerdictValue.UNCERTAIN),
        (0.19, VerdictValue.NOT_AI_GENERATED),
    ],
)
def test_on_a_threshold_is_uncertain(probability: float, verdict: VerdictValue) -> None:
    assert compare(probability, Thresholds(lower=0.2, upper=0.8)) is verdict


POLICY = {
    "prior_shift": 0.5,
    "false_positive_budget": 0.01,
    "miss_budget": 0.05,
    "by_source": {"uploads": {"miss_budget": 0.2}, "uploads/avatars": {"false_positive_budget": 0.001}},
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("other", Rules(0.01, 0.05, 0.5)),
        ("uploads", Rules(0.01, 0.2, 0.5)),
        ("uploads/news", Rules(0.01, 0.2, 0.5)),
        ("uploads/avatars", Rules(0.001, 0.05, 0.5)),
        ("uploads-2", Rules(0.01, 0.05, 0.5)),
    ],
)
def test_the_rules_of_a_source_are_its_own_its_bucket_s_or_the_policy_s(source: str, expected: Rules) -> None:
    assert rules_for(POLICY, source) == expected
