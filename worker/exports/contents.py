"""What exports hold: pages of rows in the order of time, without erased images and without people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session, aliased

from worker.database.exports import Place
from worker.database.statement import state_reasons
from worker.database.statement_terms import DecisionTerms, missing_terms
from worker.database.tables import Appeal, Export, ExportContent, Image, PlatformDecision, Verdict


class Kind(StrEnum):
    """What a column holds."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    TIME = "time"


@dataclass(frozen=True)
class Page:
    """Some rows, and the place that they end at; None where there are none."""

    rows: Sequence[Mapping[str, Any]]
    place: Place | None


Columns = Mapping[str, Kind]
_IMAGE: Columns = dict.fromkeys(("image_id", "source", "bucket", "key", "version"), Kind.TEXT)
COLUMNS: Mapping[ExportContent, Columns] = {
    ExportContent.VERDICTS: {
        "verdict_id": Kind.INTEGER,
        **_IMAGE,
        "verdict": Kind.TEXT,
        "probability": Kind.NUMBER,
        "lower_threshold": Kind.NUMBER,
        "upper_threshold": Kind.NUMBER,
        "decided_by": Kind.TEXT,
        "bundle_version": Kind.TEXT,
        "policy_version": Kind.INTEGER,
        "created_at": Kind.TIME,
    },
    ExportContent.DECISIONS: {
        "decision_id": Kind.INTEGER,
        **_IMAGE,
        "statement": Kind.TEXT,
        "missing_terms": Kind.TEXT,
        "terms": Kind.TEXT,
        "created_at": Kind.TIME,
    },
    ExportContent.APPEALS: {
        "appeal_id": Kind.INTEGER,
        **_IMAGE,
        "state": Kind.TEXT,
        "appealed_verdict": Kind.TEXT,
        "appealed_verdict_id": Kind.INTEGER,
        "verdict": Kind.TEXT,
        "verdict_id": Kind.INTEGER,
        "created_at": Kind.TIME,
        "due_at": Kind.TIME,
        "decided_at": Kind.TIME,
    },
}


def read_page(session: Session, export: Export, place: Place | None, most: int) -> Page:
    """Return the rows of an export that follow a place.

    Args:
        session: of the caller's transaction.
        export: whose rows.
        place: where they have come to; None at the beginning.
        most: rows at once.
    """
    content = ExportContent(export.content)
    statement, table = _STATEMENTS[content]
    within = statement.where(table.created_at >= export.since, table.created_at < export.until)
    if place is not None:
        within = within.where(tuple_(table.created_at, table.id) > tuple_(place.at, place.id))
    rows = session.execute(within.order_by(table.created_at, table.id).limit(most)).all()
    if not rows:
        return Page([], None)
    last = rows[-1][0]
    return Page([_ROWS[content](*row) for row in rows], Place(last.created_at, last.id))


_Served, _Machine, _Outcome = aliased(Verdict), aliased(Verdict), aliased(Verdict)
_NOT_ERASED = Image.erased_at.is_(None)
_STATEMENTS: Mapping[ExportContent, tuple[Any, Any]] = {
    ExportContent.VERDICTS: (
        select(Verdict, Image).join(Image, Image.id == Verdict.image_pk).where(_NOT_ERASED, Verdict.shadow.is_(False)),
        Verdict,
    ),
    ExportContent.DECISIONS: (
        select(PlatformDecision, Image, _Served, _Machine)
        .join(Image, Image.id == PlatformDecision.image_pk)
        .outerjoin(_Served, _Served.id == PlatformDecision.verdict_id)
        .outerjoin(_Machine, _Machine.id == PlatformDecision.machine_verdict_id)
        .where(_NOT_ERASED),
        PlatformDecision,
    ),
    ExportContent.APPEALS: (
        select(Appeal, Image, Verdict, _Outcome)
        .join(Image, Image.id == Appeal.image_pk)
        .join(Verdict, Verdict.id == Appeal.verdict_id)
        .outerjoin(_Outcome, _Outcome.id == Appeal.decision_verdict_id)
        .where(_NOT_ERASED),
        Appeal,
    ),
}


def _image_of(image: Image) -> dict[str, Any]:
    return {name: getattr(image, name) for name in _IMAGE}


def _verdict(verdict: Verdict, image: Image) -> dict[str, Any]:
    names = set(COLUMNS[ExportContent.VERDICTS]) - set(_IMAGE) - {"verdict_id"}
    return {"verdict_id": verdict.id, **_image_of(image), **{name: getattr(verdict, name) for name in names}}


def _decision(
    decision: PlatformDecision, image: Image, served: Verdict | None, machine: Verdict | None
) -> dict[str, Any]:
    terms: DecisionTerms | None
    try:
        terms = DecisionTerms.model_validate(decision.terms)
    except ValidationError:  # of a release that knew other terms
        terms = None
    missing = missing_terms(terms) if terms is not None else ["unknown terms"]
    stated = state_reasons(terms, decision, served, machine).statement if terms is not None and not missing else None
    return {
        "decision_id": decision.id,
        **_image_of(image),
        "statement": None if stated is None else _json(stated),
        "missing_terms": " ".join(missing) or None,
        "terms": _json(decision.terms),
        "created_at": decision.created_at,
    }


def _appeal(appeal: Appeal, image: Image, verdict: Verdict, outcome: Verdict | None) -> dict[str, Any]:
    return {
        "appeal_id": appeal.id,
        **_image_of(image),
        "state": appeal.state,
        "appealed_verdict": verdict.verdict,
        "appealed_verdict_id": verdict.id,
        "verdict": outcome and outcome.verdict,
        "verdict_id": outcome and outcome.id,
        "created_at": appeal.created_at,
        "due_at": appeal.due_at,
        "decided_at": appeal.decided_at,
    }


_ROWS: Mapping[ExportContent, Any] = {
    ExportContent.VERDICTS: _verdict,
    ExportContent.DECISIONS: _decision,
    ExportContent.APPEALS: _appeal,
}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
