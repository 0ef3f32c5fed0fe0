"""Verdicts: one by its id, and search over all of them."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AwareDatetime

from api import parts
from api.auth import Needs
from api.errors.problems import InvalidError, ProblemError, problems
from api.requests.cursors import MAX_ID, Cursor, Limit, decode_position, encode_position
from api.requests.etags import NOT_MODIFIED, tagged
from api.schemas.verdicts import FoundVerdict, FoundVerdicts
from worker.database.api_keys import Scope
from worker.database.search import Filters
from worker.decisions.vocabulary import VerdictValue

router = APIRouter(
    prefix="/v1/verdicts", tags=["verdicts"], responses=problems(), dependencies=[Depends(Needs(Scope.READ))]
)

Probability = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]


@router.get("", response_model=FoundVerdicts)
def search_verdicts(
    search: parts.Search,
    *,
    verdict: VerdictValue | None = None,
    source: Annotated[str | None, Query(max_length=1024, description="Exactly this source.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Made at or after this time.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Made before this time.")] = None,
    min_probability: Probability = None,
    max_probability: Probability = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Search verdicts, newest first; a challenger's are left out, people's have no probability."""
    if min_probability is not None and max_probability is not None and min_probability > max_probability:
        raise InvalidError("query", "min_probability", "must not exceed max_probability")
    filters = Filters(verdict, source, since, until, min_probability, max_probability)
    page = search(filters, limit=limit, after=decode_position(cursor))
    answer = FoundVerdicts(
        items=[FoundVerdict.of(decided, image) for decided, image in page.rows],
        next_cursor=encode_position(page.next) if page.next else None,
    )
    # As it is: FastAPI would check every field once more, which takes as long as all the rest.
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get("/{verdict_id}", response_model=FoundVerdict, responses={**problems(404), **NOT_MODIFIED})
def get_verdict(request: Request, verdict_id: Annotated[int, Path(ge=1, le=MAX_ID)], search: parts.Search) -> Response:
    """Return one verdict; it never changes, unless its image is erased."""
    verdict = search.verdict(verdict_id)
    if verdict is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no verdict of this id.")
    return tagged(request, FoundVerdict.of(*verdict))
