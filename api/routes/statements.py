"""Statements of reasons: the platform tells what it decided, Assay writes the statement."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse

from api import parts
from api.auth import Needs
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.idempotency import Once, OnceRoute
from api.requests.image_ids import unknown_image
from api.routes.images import ImageId
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.statement import Statement, state_reasons
from worker.database.statement_terms import DecisionTerms, missing_terms

router = APIRouter(prefix="/v1/images", tags=["statements"], responses=problems(404), route_class=OnceRoute)

_PAGES = Environment(
    loader=PackageLoader("api.statements", "pages"), autoescape=select_autoescape(), undefined=StrictUndefined
)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class DecisionOut(BaseModel):
    """A decision that was written down, and what a statement still lacks."""

    id: int
    created_at: datetime
    missing: Annotated[list[str], Field(description="Terms that the statement cannot do without.")]


@router.post("/{image_id:encoded}/decisions", status_code=HTTPStatus.CREATED, responses=problems(404, 409, *WITH_BODY))
def add_decision(
    image_id: ImageId,
    terms: DecisionTerms,
    decisions: parts.PlatformDecisions,
    actor: Annotated[Actor, Depends(Once(Scope.INGEST))],
) -> DecisionOut:
    """Tell what you decided on an image, in the terms of the DSA transparency database; the newest counts."""
    decision = decisions.add(actor, image_id, terms.model_dump(mode="json"))
    if decision is None:
        raise unknown_image()
    return DecisionOut(id=decision.id, created_at=decision.created_at, missing=missing_terms(terms))


@router.get(
    "/{image_id:encoded}/statement",
    response_model=Statement,
    dependencies=[Depends(Needs(Scope.READ))],
    responses={200: {"content": {"text/html": {}}}},
)
def get_statement(
    image_id: ImageId,
    decisions: parts.PlatformDecisions,
    form: Annotated[Literal["json", "html"], Query(description="For the database, or as a page to send on.")] = "json",
) -> Response | Statement:
    """Return the statement of reasons for your newest decision on an image; 422 names the terms that it lacks."""
    case = decisions.newest(image_id)
    if case is None:
        raise unknown_image()
    if case.decision is None:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "You have told of no decision on this image; a POST to `decisions` does."
        )
    terms = DecisionTerms.model_validate(case.decision.terms)
    if missing := missing_terms(terms):
        errors = [{"loc": ["decision", name], "msg": "the transparency database requires it"} for name in missing]
        detail = f"The decision lacks {', '.join(missing)}."
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)
    statement = state_reasons(terms, case.decision, case.served, case.machine)
    if form == "json":
        return statement
    page = _PAGES.get_template("statement.html").render(statement=statement.statement, note=statement.note)
    return HTMLResponse(page, headers=_HEADERS)
