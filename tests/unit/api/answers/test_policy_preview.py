from dataclasses import replace

from api.answers.policy_preview import Change, preview
from worker.database.policies import JudgedImage
from worker.decisions.calibration import CalibrationFigures, shift
from worker.decisions.policy import PolicyTerms
from worker.decisions.vocabulary import DeclaredOrigin, VerdictValue
from worker.provenance.findings import Declaration, DeclarationKind, Manifest, Provenance, Says, SignatureState

AI, UNCERTAIN, NOT_AI = VerdictValue.AI_GENERATED, VerdictValue.UNCERTAIN, VerdictValue.NOT_AI_GENERATED
# A thousand photographs up to 0.5, a thousand AI-generated images from 0.5 on.
FIGURES = CalibrationFigures.of([n / 2000 for n in range(1000)], [0.5 + n / 2000 for n in range(1000)], "tests")


SILENT, TAGGED = Provenance(), Provenance(tags=("comfyui",))


def image(verdict: VerdictValue, probability: float, source: str = "a", provenance: Provenance = SILENT) -> JudgedImage:
    return JudgedImage(f"{source}/{probability}", source, verdict, probability, prior_shift=0.0, provenance=provenance)


def test_verdicts_are_judged_anew_and_changes_are_counted() -> None:
    shown = preview(PolicyTerms(0.0, 0.01, 0.05), FIGURES, [image(AI, 0.45), image(AI, 0.6), image(NOT_AI, 0.1)])
    assert (shown.examined, shown.changed, shown.examples) == (3, 1, ["a/0.45"])
    assert shown.changes == [Change(before=AI, after=NOT_AI, images=1)]


def test_it_counts_what_would_be_recommended() -> None:
    terms = PolicyTerms(0.0, 0.01, 0.05, {"b": {"actions": {"ai_generated": "hold"}}})
    shown = preview(terms, FIGURES, [image(AI, 0.6), image(AI, 0.6, "b"), image(AI, 0.7, "b")])
    assert {one.action: one.images for one in shown.actions} == {"hold": 2, "label": 1}


def test_terms_of_a_source_count_for_that_source_alone() -> None:
    lenient = PolicyTerms(0.0, 0.01, 0.05, {"b": {"false_positive_budget": 0.5}})
    shown = preview(lenient, FIGURES, [image(UNCERTAIN, 0.45), image(UNCERTAIN, 0.45, "b")])
    assert "b/0.45" in shown.examples
    upper = {cut.source: cut.upper for cut in shown.thresholds}
    assert upper["b"] < upper["a"]


def test_a_shift_is_taken_from_what_was_recorded_before_the_new_one_is_added() -> None:
    recorded = JudgedImage("i", "a", AI, shift(0.6, 2.0), prior_shift=2.0, provenance=SILENT)
    assert preview(PolicyTerms(0.0, 0.01, 0.05), FIGURES, [recorded]).changed == 0
    assert preview(PolicyTerms(-9.0, 0.01, 0.05), FIGURES, [recorded]).changed == 0, "thresholds move along"


def test_what_a_tag_bars_from_being_cleared_is_uncertain_at_least() -> None:
    assert preview(PolicyTerms(0.0, 0.01, 0.05), FIGURES, [image(UNCERTAIN, 0.01, provenance=TAGGED)]).changed == 0
    accused = preview(PolicyTerms(0.0, 0.01, 0.05), FIGURES, [image(AI, 0.01, provenance=TAGGED)])
    assert accused.changes == [Change(before=AI, after=UNCERTAIN, images=1)]
    assert preview(PolicyTerms(0.0, 0.01, 0.05), FIGURES, [image(UNCERTAIN, 0.01)]).changed == 1


def test_another_frame_of_an_animation_keeps_it_from_being_cleared_under_other_terms_too() -> None:
    recorded = JudgedImage("i", "a", UNCERTAIN, shift(0.01, 2.0), 2.0, SILENT, gravest_frame=shift(0.6, 2.0))
    assert preview(PolicyTerms(0.0, 0.01, 0.05), FIGURES, [recorded]).changed == 0
    mild = replace(recorded, gravest_frame=shift(0.02, 2.0))
    assert preview(PolicyTerms(0.0, 0.01, 0.05), FIGURES, [mild]).changes == [
        Change(before=UNCERTAIN, after=NOT_AI, images=1)
    ]


def test_what_files_declare_is_weighed_anew_by_the_terms_given() -> None:
    strong = Provenance(declaration=Declaration(strong=True, kind=DeclarationKind.TC260))
    before = [image(UNCERTAIN, 0.01, provenance=strong)]

    def after(origin: DeclaredOrigin, by_source: dict[str, dict[str, str]] | None = None) -> list[Change]:
        return preview(PolicyTerms(0.0, 0.01, 0.05, by_source or {}, origin), FIGURES, before).changes

    assert after(DeclaredOrigin.DECIDES) == [Change(before=UNCERTAIN, after=AI, images=1)]
    assert after(DeclaredOrigin.UNCERTAIN) == []
    assert after(DeclaredOrigin.IGNORE) == [Change(before=UNCERTAIN, after=NOT_AI, images=1)]
    assert after(DeclaredOrigin.DECIDES, {"a": {"declared_origin": "ignore"}})[0].after == NOT_AI


def test_a_trusted_signature_decides_under_any_terms() -> None:
    signed = Provenance(manifest=Manifest(SignatureState.TRUSTED, Says.AI_GENERATED))
    terms = PolicyTerms(0.0, 0.01, 0.05, declared_origin=DeclaredOrigin.IGNORE)
    assert preview(terms, FIGURES, [image(AI, 0.01, provenance=signed)]).changed == 0
