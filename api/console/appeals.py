"""Appeals: what people say against verdicts, the longest waiting first, decided beside the picture."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from api import parts
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, FromVisitor, Sends, check_may_see_reviews
from api.errors.problems import ProblemError
from api.requests.cursors import MAX_ID, decode_cursor, encode_cursor
from worker.database.api_keys import Scope
from worker.database.appeals import NotOpenError, SamePersonError
from worker.database.tables import LabelValue
from worker.decisions.appeal import AppealState

router = APIRouter(prefix=f"{HOME}/appeals", include_in_schema=False, route_class=ConsoleRoute)

_ON_A_PAGE = 20


class Tab(StrEnum):
    """A tab of the appeals' page: the states that it shows."""

    OPEN = "open"
    OVERDUE = "overdue"
    DECIDED = "decided"

    @property
    def states(self) -> list[AppealState]:
        """Return where such appeals stand."""
        return [AppealState.UPHELD, AppealState.REJECTED] if self is Tab.DECIDED else [AppealState.OPEN]


@router.get("")
def show_appeals(
    appeals: parts.Appeals,
    now: parts.Now,
    who: FromVisitor,
    *,
    state: Tab = Tab.OPEN,
    cursor: str | None = None,
    notice: str | None = None,
) -> Response:
    """Show appeals."""
    check_may_see_reviews(who)
    after = decode_cursor(cursor)
    cases = appeals.page(state.states, limit=_ON_A_PAGE + 1, after=after, overdue=state is Tab.OVERDUE)
    return page(
        "appeals",
        who,
        cases=cases[:_ON_A_PAGE],
        next_cursor=encode_cursor(cases[_ON_A_PAGE - 1].appeal.id) if len(cases) > _ON_A_PAGE else None,
        counts=appeals.counts(),
        tab=state,
        tabs=list(Tab),
        now=now(),
        values=list(LabelValue),
        notice=notice,
    )


@router.post("/{appeal_id}/decide")
def decide_appeal(
    appeal_id: Annotated[int, Path(ge=1, le=MAX_ID)],
    appeals: parts.Appeals,
    form: Annotated[Form, Depends(Sends(Scope.REVIEW))],
) -> Response:
    """Decide an appeal; what is said is served from now on."""
    value = form.needed("decision")
    if value not in set(LabelValue):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"decision: there is no label {value!r}")
    actor = form.visitor.actor
    try:
        case = appeals.decide(actor, appeal_id, LabelValue(value), reviewer=actor.name, reason=form.needed("reason"))
    except (NotOpenError, SamePersonError) as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    if case is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no appeal of this id.")
    return go(f"{HOME}/appeals", notice="appeal_decided")
