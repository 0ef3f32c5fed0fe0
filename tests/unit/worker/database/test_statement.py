"""Statements of reasons: complete or refused by name, true of who decided, and naming nobody."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.api_world import verdict_row
from worker.database.statement import state_reasons
from worker.database.statement_terms import DecisionTerms, missing_terms
from worker.database.tables import PlatformDecision, Verdict
from worker.decisions.vocabulary import DecidedBy, VerdictValue

TERMS = {
    "decision_visibility": ["DECISION_VISIBILITY_CONTENT_LABELLED"],
    "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
    "incompatible_content_ground": "Terms of use, section 7",
    "incompatible_content_explanation": "AI-generated images carry a label.",
    "category": "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
    "content_date": "2026-11-20",
    "application_date": "2026-11-21",
    "source_type": "SOURCE_VOLUNTARY",
}
DECISION = PlatformDecision(id=12, image_pk=7, terms={}, created_at=datetime(2026, 11, 21, tzinfo=UTC))
PERSON = verdict_row(decided_by=DecidedBy.HUMAN, reviewer="maria", reason="her words", probability=None, detectors={})


def stated(terms: dict[str, Any], served: Verdict | None, machine: Verdict | None) -> dict[str, Any]:
    return state_reasons(DecisionTerms.model_validate(terms), DECISION, served, machine).statement


def test_a_machine_s_verdict_is_stated_as_found_and_decided_by_automated_means() -> None:
    statement = stated(TERMS, verdict_row(), verdict_row())
    assert (statement["automated_detection"], statement["automated_decision"]) == ("Yes", "AUTOMATED_DECISION_FULLY")
    assert statement["decision_facts"] == (
        "On 2026-11-21 an automated system (Assay, bundle b1, policy 1) judged the image AI-generated with a "
        "calibrated probability of 97.0 %; 90.0 % is the line above which it calls an image AI-generated. "
        "No person looked at the image before the decision."
    )
    assert (statement["content_type"], statement["puid"]) == (["CONTENT_TYPE_IMAGE"], "assay-12")


@pytest.mark.parametrize(
    ("terms", "served", "machine", "automation"),
    [
        (TERMS, PERSON, verdict_row(), "AUTOMATED_DECISION_PARTIALLY"),
        ({**TERMS, "reviewed_by_person": True}, verdict_row(), verdict_row(), "AUTOMATED_DECISION_PARTIALLY"),
        (TERMS, PERSON, None, "AUTOMATED_DECISION_NOT_AUTOMATED"),
        (TERMS, None, None, "AUTOMATED_DECISION_NOT_AUTOMATED"),
    ],
)
def test_a_person_s_part_is_stated(
    terms: dict[str, Any], served: Verdict | None, machine: Verdict | None, automation: str
) -> None:
    assert stated(terms, served, machine)["automated_decision"] == automation


def test_no_person_is_named() -> None:
    statement = str(stated({**TERMS, "reviewed_by_person": True}, PERSON, verdict_row()))
    assert [word for word in ("maria", "her words", "reviewed_by_person") if word in statement] == []
    assert "A person looked at the image and decided that it is AI-generated." in statement


def test_a_signature_and_a_declaration_are_stated_as_what_they_are() -> None:
    signed = verdict_row(decided_by=DecidedBy.PROVENANCE)
    declared = verdict_row(decided_by=DecidedBy.DECLARED, provenance={"declares_ai": True})
    assert "read a trusted signature in the file" in stated(TERMS, signed, signed)["decision_facts"]
    assert "the file itself declares" in stated(TERMS, declared, declared)["decision_facts"]
    note = state_reasons(DecisionTerms.model_validate(TERMS), DECISION, declared, declared).note
    assert note is not None
    assert "Article 50(4)" in note
    assert state_reasons(DecisionTerms.model_validate(TERMS), DECISION, signed, signed).note is None


@pytest.mark.parametrize("name", ["decision_visibility", "decision_ground", "category", "content_date", "source_type"])
def test_a_required_term_that_is_missing_is_named(name: str) -> None:
    left = {term: value for term, value in TERMS.items() if term != name}
    assert missing_terms(DecisionTerms.model_validate(left)) == [name]


def test_a_ground_and_an_other_ask_for_their_explanations() -> None:
    illegal = {**TERMS, "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT"}
    assert missing_terms(DecisionTerms.model_validate(illegal)) == [
        "illegal_content_legal_ground",
        "illegal_content_explanation",
    ]
    other = {**TERMS, "decision_visibility": ["DECISION_VISIBILITY_OTHER"]}
    assert missing_terms(DecisionTerms.model_validate(other)) == ["decision_visibility_other"]
    assert missing_terms(DecisionTerms.model_validate(TERMS)) == []


def test_every_verdict_has_its_words() -> None:
    for value in VerdictValue:
        assert stated(TERMS, None, verdict_row(verdict=value))["decision_facts"]
