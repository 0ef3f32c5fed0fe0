"""Appeals: somebody says that a verdict is wrong, and a person decides."""

from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from api import parts
from api.auth import Needs
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.cursors import MAX_ID, Cursor, Limit, decode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.requests.image_ids import unknown_image
from api.requests.strict import StrictBody
from api.requests.texts import Line, Words
from api.routes.images import ImageId
from worker.database.api_keys import Scope
from worker.database.appeals import (
    AlreadyAppealedError,
    AppealCase,
    NothingToAppealError,
    NotOpenError,
    SamePersonError,
    TooManyAppealsError,
)
from worker.database.audit import Actor
from worker.database.tables import LabelValue
from worker.decisions.appeal import AppealState
from worker.decisions.vocabulary import VerdictValue

router = APIRouter(prefix="/v1", tags=["appeals"], responses=problems(404), route_class=OnceRoute)

_MOST_OF_AN_IMAGE = 200
_DAY_SECONDS = "86400"


class ListedState(StrEnum):
    """Which appeals a list holds."""

    OPEN = "open"
    OVERDUE = "overdue"
    UPHELD = "upheld"
    REJECTED = "rejected"

    @property
    def state(self) -> AppealState:
        """Return where such appeals stand."""
        return AppealState.OPEN if self is ListedState.OVERDUE else AppealState(self.value)


class NewAppeal(StrictBody):
    """What is said against a verdict, and by whom."""

    reason: Annotated[Words, Field(description="Why the verdict is wrong, in the words of whoever appeals.")]
    contact: Annotated[
        Line | None,
        Field(description="Your own reference for whoever appeals; no address is needed. At most 20 a day of one."),
    ] = None


class AppealDecision(StrictBody):
    """What a person decides."""

    decision: Annotated[LabelValue, Field(description="What the image is; served from now on.")]
    reason: Annotated[Words, Field(description="Why; shown in the history.")]
    reviewer: Annotated[Line | None, Field(description="Who decides, as for labels; the key's name when left out.")] = (
        None
    )


class AppealOut(BaseModel):
    """An appeal, without what names a person."""

    id: int
    image_id: str
    state: AppealState
    appealed_verdict: VerdictValue
    appealed_verdict_id: int
    verdict: Annotated[LabelValue | None, Field(description="What was decided.")]
    verdict_id: int | None
    created_at: datetime
    due_at: Annotated[datetime, Field(description="By when it should be decided (`ASSAY_APPEAL_DEADLINE_DAYS`).")]
    decided_at: datetime | None

    @classmethod
    def fields(cls, case: AppealCase) -> dict[str, object]:
        """Return the fields of a case."""
        decision = case.decision
        return {
            "id": case.appeal.id,
            "image_id": case.image.image_id,
            "state": case.appeal.state,
            "appealed_verdict": case.verdict.verdict,
            "appealed_verdict_id": case.verdict.id,
            "verdict": decision and decision.verdict,
            "verdict_id": decision and decision.id,
            "created_at": case.appeal.created_at,
            "due_at": case.appeal.due_at,
            "decided_at": case.appeal.decided_at,
        }


class AppealCaseOut(AppealOut):
    """An appeal as reviewers see it; reason and contact are null once they are forgotten."""

    reason: str | None
    contact: str | None
    decision_reason: str | None
    reviewer: str | None

    @classmethod
    def fields(cls, case: AppealCase) -> dict[str, object]:
        """Return the fields of a case."""
        decision = case.decision
        people = {"decision_reason": decision and decision.reason, "reviewer": decision and decision.reviewer}
        return {**super().fields(case), "reason": case.appeal.reason, "contact": case.appeal.contact, **people}


class ImageAppeals(BaseModel):
    """The appeals against an image, newest first."""

    items: list[AppealOut]


class AppealList(BaseModel):
    """A page of appeals, and how many wait in all."""

    items: list[AppealCaseOut]
    open: int
    overdue: int
    next_cursor: str | None


@router.post(
    "/images/{image_id:encoded}/appeals", status_code=HTTPStatus.CREATED, responses=problems(404, 409, 429, *WITH_BODY)
)
def add_appeal(
    image_id: ImageId,
    body: NewAppeal,
    appeals: parts.Appeals,
    actor: Annotated[Actor, Depends(Once(Scope.INGEST))],
) -> AppealOut:
    """Appeal against what is served for an image; nothing changes until a person decides (`appeal.decided`)."""
    try:
        case = appeals.add(actor, image_id, reason=body.reason, contact=body.contact)
    except (NothingToAppealError, AlreadyAppealedError) as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    except TooManyAppealsError as error:
        headers = {"Retry-After": _DAY_SECONDS}
        raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, error.detail, headers=headers) from error
    if case is None:
        raise unknown_image()
    return AppealOut.model_validate(AppealOut.fields(case))


@router.get("/images/{image_id:encoded}/appeals", dependencies=[Depends(Needs(Scope.READ))])
def list_image_appeals(image_id: ImageId, appeals: parts.Appeals) -> ImageAppeals:
    """List the appeals against an image, newest first, over all its versions."""
    cases = appeals.of(image_id, limit=_MOST_OF_AN_IMAGE)
    if cases is None:
        raise unknown_image()
    return ImageAppeals(items=[AppealOut.model_validate(AppealOut.fields(case)) for case in cases])


@router.get("/appeals", dependencies=[Depends(Needs(Scope.REVIEW))])
def list_appeals(
    appeals: parts.Appeals,
    state: Annotated[ListedState, Query(description="`overdue` are open ones past their time.")] = ListedState.OPEN,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> AppealList:
    """List appeals: open ones oldest first, decided ones newest first."""
    is_overdue = state is ListedState.OVERDUE
    cases = appeals.page([state.state], limit=limit + 1, after=decode_cursor(cursor), overdue=is_overdue)
    counts = appeals.counts()
    return AppealList(
        items=[AppealCaseOut.model_validate(AppealCaseOut.fields(case)) for case in cases[:limit]],
        open=counts.open,
        overdue=counts.overdue,
        next_cursor=next_cursor([case.appeal.id for case in cases], limit),
    )


@router.post("/appeals/{appeal_id}/decision", responses=problems(404, 409, *WITH_BODY))
def decide_appeal(
    appeal_id: Annotated[int, Path(ge=1, le=MAX_ID)],
    body: AppealDecision,
    appeals: parts.Appeals,
    actor: Annotated[Actor, Depends(Once(Scope.REVIEW))],
) -> AppealCaseOut:
    """Decide an appeal, as anybody who has not decided the image before; the decision is served from now on."""
    try:
        case = appeals.decide(actor, appeal_id, body.decision, reviewer=body.reviewer or actor.name, reason=body.reason)
    except (NotOpenError, SamePersonError) as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    if case is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no appeal of this id.")
    return AppealCaseOut.model_validate(AppealCaseOut.fields(case))
