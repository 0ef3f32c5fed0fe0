"""From probability and policy to a verdict: monotone, and a declaration never clears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.decisions.calibration import CalibrationFigures, Thresholds
from worker.decisions.policy import Rules
from worker.decisions.verdict import compare, decide
from worker.decisions.vocabulary import DecidedBy, DeclaredOrigin, VerdictValue
from worker.provenance.findings import Declaration, DeclarationKind, Manifest, Provenance, Says, SignatureState

SILENT = Provenance()
DECLARED = Provenance(tags=("comfyui",))
STRONG = Provenance(tags=("comfyui",), declaration=Declaration(strong=True, kind=DeclarationKind.GENERATOR))
SIGNED = Provenance(manifest=Manifest(SignatureState.TRUSTED, Says.AI_GENERATED))
ORDER = [VerdictValue.NOT_AI_GENERATED, VerdictValue.UNCERTAIN, VerdictValue.AI_GENERATED]

probabilities = st.floats(0, 1)
figures = st.builds(
    CalibrationFigures.of,
    st.lists(probabilities, max_size=400),
    st.lists(probabilities, max_size=60),
    st.just("made up"),
)
rules = st.builds(
    Rules, st.floats(0.001, 0.5), st.floats(0.001, 0.5), st.floats(-3, 3), st.sampled_from(DeclaredOrigin)
)
heeding = rules.filter(lambda one: one.declared_origin is not DeclaredOrigin.IGNORE)


@given(figures, rules, probabilities, probabilities)
def test_a_higher_probability_never_gives_a_milder_verdict(
    held_out: CalibrationFigures, policy: Rules, one: float, other: float
) -> None:
    low, high = (decide(value, policy, held_out, SILENT) for value in sorted((one, other)))
    assert ORDER.index(low.verdict) <= ORDER.index(high.verdict)
    assert low.probability <= high.probability
    assert low.thresholds == high.thresholds


@given(figures, heeding, probabilities)
def test_a_file_that_weakly_declares_ai_is_never_cleared_and_never_accused_for_it(
    held_out: CalibrationFigures, policy: Rules, probability: float
) -> None:
    silent = decide(probability, policy, held_out, SILENT)
    declared = decide(probability, policy, held_out, DECLARED)
    assert declared.verdict is not VerdictValue.NOT_AI_GENERATED
    if silent.verdict is not VerdictValue.NOT_AI_GENERATED:
        assert declared == silent
    assert (declared.probability, declared.thresholds) == (silent.probability, silent.thresholds)


@given(figures, rules, probabilities)
def test_a_strong_declaration_decides_bars_clearing_or_counts_for_nothing_as_the_policy_says(
    held_out: CalibrationFigures, policy: Rules, probability: float
) -> None:
    silent = decide(probability, policy, held_out, SILENT)
    strong = decide(probability, policy, held_out, STRONG)
    assert (strong.probability, strong.thresholds) == (silent.probability, silent.thresholds)
    match policy.declared_origin:
        case DeclaredOrigin.DECIDES:
            assert (strong.verdict, strong.decided_by) == (VerdictValue.AI_GENERATED, DecidedBy.DECLARED)
        case DeclaredOrigin.UNCERTAIN:
            assert strong == decide(probability, policy, held_out, DECLARED)
        case DeclaredOrigin.IGNORE:
            assert strong == silent


@given(figures, rules, probabilities)
def test_a_trusted_signature_outranks_what_the_file_says_besides(
    held_out: CalibrationFigures, policy: Rules, probability: float
) -> None:
    both = Provenance(manifest=SIGNED.manifest, declaration=STRONG.declaration)
    assert decide(probability, policy, held_out, both).decided_by is DecidedBy.PROVENANCE


manifests = st.builds(Manifest, st.sampled_from(SignatureState), st.none() | st.sampled_from(Says))
declarations = st.builds(Declaration, st.booleans(), st.just(DeclarationKind.IPTC))
provenances = st.builds(
    Provenance,
    st.sampled_from([(), ("comfyui",)]),
    st.none() | manifests,
    declaration=st.none() | declarations,
)


@given(figures, rules, probabilities)
def test_a_trusted_signature_that_says_ai_decides_whatever_the_pixels_say(
    held_out: CalibrationFigures, policy: Rules, probability: float
) -> None:
    decision = decide(probability, policy, held_out, SIGNED)
    assert (decision.verdict, decision.decided_by) == (VerdictValue.AI_GENERATED, DecidedBy.PROVENANCE)
    assert decision.probability == decide(probability, policy, held_out, SILENT).probability


@given(figures, rules, probabilities, provenances)
def test_provenance_only_ever_makes_a_verdict_graver_and_accuses_by_a_trusted_signature_or_where_declarations_decide(
    held_out: CalibrationFigures, policy: Rules, probability: float, provenance: Provenance
) -> None:
    silent = decide(probability, policy, held_out, SILENT)
    decision = decide(probability, policy, held_out, provenance)
    assert ORDER.index(decision.verdict) >= ORDER.index(silent.verdict)
    assert (decision.decided_by is DecidedBy.PROVENANCE) == provenance.decides
    if decision.verdict is VerdictValue.AI_GENERATED and silent.verdict is not VerdictValue.AI_GENERATED:
        assert decision.decided_by in {DecidedBy.PROVENANCE, DecidedBy.DECLARED}
    if decision.decided_by is DecidedBy.DECLARED:
        assert policy.declared_origin is DeclaredOrigin.DECIDES
        assert provenance.strongly_declares


@given(figures, rules, probabilities, probabilities, provenances)
def test_another_frame_of_an_animation_only_ever_keeps_it_from_being_cleared(
    held_out: CalibrationFigures, policy: Rules, probability: float, other: float, provenance: Provenance
) -> None:
    alone = decide(probability, policy, held_out, provenance)
    moving = decide(probability, policy, held_out, provenance, max(probability, other))
    as_a_picture = decide(max(probability, other), policy, held_out, provenance)
    assert (moving.probability, moving.thresholds, moving.decided_by) == (
        alone.probability,
        alone.thresholds,
        alone.decided_by,
    )
    if alone.verdict is VerdictValue.NOT_AI_GENERATED and as_a_picture.verdict is not VerdictValue.NOT_AI_GENERATED:
        assert moving.verdict is VerdictValue.UNCERTAIN
    else:
        assert moving == alone


@given(figures, rules, probabilities, st.none() | st.sampled_from(Says))
def test_breaking_a_signature_never_clears_an_image(
    held_out: CalibrationFigures, policy: Rules, probability: float, says: Says | None
) -> None:
    broken = Provenance(manifest=Manifest(SignatureState.TAMPERED, says))
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
