"""A statement of reasons: the platform's terms, with the facts and the automation that Assay knows of. Pure."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from worker.database.statement_terms import SCHEMA_VERSION, DecisionTerms, YesNo
from worker.database.tables import PlatformDecision, Verdict
from worker.decisions.vocabulary import DecidedBy

_AI_ACT = (
    "The file declares that AI generated or changed it. Where such content is a deep fake, Article 50(4) of "
    "Regulation (EU) 2024/1689 (AI Act) asks whoever publishes it to say so."
)
_WORDS = {"ai_generated": "AI-generated", "uncertain": "uncertain", "not_ai_generated": "not AI-generated"}


class Statement(BaseModel):
    """A statement of reasons that the DSA transparency database takes, and what stands beside it."""

    schema_version: Literal["2"] = Field(default=SCHEMA_VERSION, description="Of the transparency database's API.")
    statement: dict[str, Any] = Field(
        description="To be sent to the transparency database as it is, under your own token. It names no person."
    )
    note: str | None = Field(description="What the AI Act asks for, where the file itself declares that it is AI's.")


def state_reasons(
    terms: DecisionTerms, decision: PlatformDecision, served: Verdict | None, machine: Verdict | None
) -> Statement:
    """Write the statement of a decision whose terms are complete.

    Args:
        terms: the platform's.
        decision: its row.
        served: the verdict that was served when the platform decided; None where there was none.
        machine: the machine's verdict of that time, which a person may have overruled since.
    """
    stated = {
        **terms.plain_values(),
        "content_type": ["CONTENT_TYPE_IMAGE"],
        "decision_facts": " ".join(_facts(terms, served, machine)),
        "automated_detection": YesNo.NO if machine is None else YesNo.YES,
        "automated_decision": _automation(terms, served, machine),
        "puid": f"assay-{decision.id}",
    }
    declares = bool(machine and machine.provenance.get("declares_ai"))
    return Statement(statement=stated, note=_AI_ACT if declares else None)


def _automation(terms: DecisionTerms, served: Verdict | None, machine: Verdict | None) -> str:
    by_person = terms.reviewed_by_person or (served is not None and served.decided_by == DecidedBy.HUMAN)
    if machine is None:
        return "AUTOMATED_DECISION_NOT_AUTOMATED"
    return "AUTOMATED_DECISION_PARTIALLY" if by_person else "AUTOMATED_DECISION_FULLY"


def _facts(terms: DecisionTerms, served: Verdict | None, machine: Verdict | None) -> list[str]:
    facts = ["No automated system judged the image." if machine is None else _machine_said(machine)]
    if served is not None and served.decided_by == DecidedBy.HUMAN:
        facts.append(f"A person looked at the image and decided that it is {_WORDS[served.verdict]}.")
    elif terms.reviewed_by_person:
        facts.append("A person of the platform looked at the image before the decision.")
    else:
        facts.append("No person looked at the image before the decision.")
    return facts


def _machine_said(machine: Verdict) -> str:
    verdict, day = _WORDS[machine.verdict], f"{machine.created_at:%Y-%m-%d}"
    by = f"(Assay, bundle {machine.bundle_version}, policy {machine.policy_version})"
    if machine.decided_by == DecidedBy.PROVENANCE:
        return f"On {day} an automated system {by} read a trusted signature in the file: the image is {verdict}."
    if machine.decided_by == DecidedBy.DECLARED:
        return f"On {day} an automated system {by} read that the file itself declares the image to be {verdict}."
    likely = (
        "" if machine.probability is None else f" with a calibrated probability of {100 * machine.probability:.1f} %"
    )
    line = "" if machine.upper_threshold is None else f"; {100 * machine.upper_threshold:.1f} % is the line above which"
    line += " it calls an image AI-generated" if line else ""
    return f"On {day} an automated system {by} judged the image {verdict}{likely}{line}."
