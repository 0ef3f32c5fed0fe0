"""How the team fares, and what leads set for the desk: reasons of the keys 1 to 9 and a daily goal."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from starlette.responses import JSONResponse

from api import parts
from api.console.pages import HEADERS, ConsoleRoute, go, page
from api.console.visitor import HOME, Form, FromVisitor, Sends, check_may_see_reviews, check_scope
from api.console.wording import percent
from api.errors.problems import ProblemError
from worker.database.api_keys import Scope
from worker.database.review_statistics import DAYS
from worker.database.review_terms import EVERYWHERE, MOST_REASONS, DeskTerms

router = APIRouter(prefix=f"{HOME}/review", include_in_schema=False, route_class=ConsoleRoute)

_ByLead = Annotated[Form, Depends(Sends(Scope.LEAD))]
_MOST_SOURCES = 200


@router.get("/team")
def show_team(
    review_statistics: parts.ReviewStatistics,
    review_terms: parts.ReviewTerms,
    figures: parts.Figures,
    who: FromVisitor,
    notice: str | None = None,
) -> Response:
    """Show how the team fares: leads and auditors see everybody, all others themselves and the sum."""
    check_may_see_reviews(who)
    everybody = review_statistics.by_reviewer()
    sees_all = who.may(Scope.LEAD) or who.may(Scope.AUDIT)
    return page(
        "team",
        who,
        rows=everybody if sees_all else [one for one in everybody if one.reviewer == who.actor.name],
        reviewed=sum(one.reviewed for one in everybody),
        today=sum(one.today for one in everybody),
        reviewers=len(everybody),
        days=DAYS,
        leads=who.may(Scope.LEAD),
        sees_all=sees_all,
        terms=review_terms.all(),
        sources=figures.sources(_MOST_SOURCES),
        most_reasons=MOST_REASONS,
        notice=notice,
    )


@router.get("/standing")
def get_standing(review_statistics: parts.ReviewStatistics, who: FromVisitor) -> Response:
    """Tell the desk how its reviewer fares."""
    check_scope(who, Scope.REVIEW)
    own = next(iter(review_statistics.by_reviewer(who.actor.name)), None)
    standing = {
        "agreement": percent(own.agreement, 0) if own else percent(None),
        "speed": f"{own.seconds:.0f} s" if own and own.seconds is not None else percent(None),
    }
    return JSONResponse(standing, headers=HEADERS)


@router.post("/terms")
def set_terms(review_terms: parts.ReviewTerms, form: _ByLead) -> Response:
    """Set reasons and goal for a source, or for all; without reasons a source goes by what counts for all again."""
    actor, source = form.visitor.actor, form.text("source", most=1024)
    reasons = [reason for reason in form.several("reason") if reason]
    if not reasons and source != EVERYWHERE:
        review_terms.remove(actor, source)
        return go(f"{HOME}/review/team", notice="terms_removed")
    goal = form.text("daily_goal", most=10)
    if goal and not goal.isdecimal():
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "daily_goal: give a number of images")
    try:
        review_terms.put(actor, source, DeskTerms(reasons, int(goal) if goal else None))
    except ValueError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    return go(f"{HOME}/review/team", notice="terms_set")
