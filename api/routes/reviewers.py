"""Reviewers whose names a backend may pass on: register them, and each counts as one voice."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from api import parts
from api.auth import Operator
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.idempotency import Once, OnceRoute
from api.requests.strict import StrictBody
from api.requests.texts import Line
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope
from worker.database.audit import Actor

router = APIRouter(prefix="/v1/reviewers", tags=["labels"], responses=problems(), route_class=OnceRoute)


class NewReviewer(StrictBody):
    """A person who reviews behind a backend."""

    name: Line


class ReviewerOut(FromRow):
    """A registered reviewer; the name is in lower case."""

    name: str
    created_by: str
    created_at: datetime


class Reviewers(BaseModel):
    """Every registered reviewer, by name."""

    items: list[ReviewerOut]


@router.post("", status_code=HTTPStatus.CREATED, responses=problems(*WITH_BODY))
def register_reviewer(
    new: NewReviewer, reviewers: parts.Reviewers, actor: Annotated[Actor, Depends(Once(Scope.OPERATE))]
) -> ReviewerOut:
    """Register a reviewer, whose labels count as that person's where a key of scope `review:delegate` names them."""
    return ReviewerOut.model_validate(reviewers.add(actor, new.name))


@router.get("")
def list_reviewers(reviewers: parts.Reviewers, actor: Operator) -> Reviewers:
    """List the registered reviewers."""
    del actor
    return Reviewers(items=[ReviewerOut.model_validate(one) for one in reviewers.all()])


@router.delete("/{name}", status_code=HTTPStatus.NO_CONTENT, responses=problems(404))
def remove_reviewer(name: str, reviewers: parts.Reviewers, actor: Operator) -> None:
    """Let a name count no more from now on; labels keep what they counted."""
    if not reviewers.remove(actor, name):
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no reviewer of this name.")
