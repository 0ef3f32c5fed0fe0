"""The feed: images at their served verdicts as they come, searched by what people look for."""

from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from api import parts
from api.console.feed_query import FIELDS, filters_of
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, FromVisitor, Sends, Visitor, check_scope
from api.console.wording import figure
from api.errors.problems import ProblemError
from api.requests.cursors import MAX_ID, decode_position, encode_position
from worker.database.api_keys import Scope
from worker.database.review_terms import EVERYWHERE
from worker.database.saved_views import TooManyViewsError
from worker.database.search import Filters
from worker.database.tables import LabelValue
from worker.decisions.vocabulary import VerdictValue

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)

_ON_A_PAGE = 24
_MOST_SOURCES = 200
_MOST_COUNTED = 1_000
_WINDOW = timedelta(hours=24)

Text = Annotated[str, Query(max_length=1024)]
_ByReader = Annotated[Form, Depends(Sends(Scope.READ))]


def query_of(  # noqa: PLR0917 - a form's fields
    verdict: Text = "", source: Text = "", since: Text = "", until: Text = "", at_least: Text = "", at_most: Text = ""
) -> dict[str, str]:
    """Return what the filters say, by field."""
    values = (verdict, source, since, until, at_least, at_most)
    return dict(zip(FIELDS, (value.strip() for value in values), strict=True))


_ByFilters = Annotated[dict[str, str], Depends(query_of)]


@router.get("")
def show_feed(  # noqa: PLR0917 - what a page of the feed is made of
    figures: parts.Figures,
    search: parts.Search,
    stats: parts.Stats,
    saved_views: parts.SavedViews,
    review_terms: parts.ReviewTerms,
    who: FromVisitor,
    query: _ByFilters,
    image_id: Text = "",
    cursor: Text | None = None,
    notice: Text | None = None,
    *,
    choose: bool = False,
) -> Response:
    """Show the newest images, or those searched for; with ``choose`` several can be labelled at once."""
    if image_id.strip():
        return go(f"{HOME}/image", id=image_id.strip())
    return page(
        "feed",
        who,
        **_feed(search, stats, who, query, cursor),
        sources=figures.sources(_MOST_SOURCES),
        views=saved_views.of(who.principal.key_id),
        first_page=cursor is None,
        choose=choose and who.may("review"),
        label_values=list(LabelValue),
        reasons=review_terms.all()[EVERYWHERE].reasons,
        notice=notice,
    )


@router.get("/feed")
def show_rows(search: parts.Search, stats: parts.Stats, who: FromVisitor, query: _ByFilters) -> Response:
    """Return the newest images alone, for a page that keeps itself up to date."""
    return page("feed_rows", who, **_feed(search, stats, who, query, None), choose=False)


@router.post("/views")
def save_view(saved_views: parts.SavedViews, form: _ByReader) -> Response:
    """Keep a search under a name, for oneself or, by leads, for the team."""
    query = {name: text for name in FIELDS if (text := form.text(name, most=1024))}
    filters_of(dict.fromkeys(FIELDS, "") | query)
    name, team = form.needed("name"), form.text("team") == "yes"
    if len(name) > 60:  # noqa: PLR2004 - what a chip holds
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "name: at most 60 characters")
    if team:
        check_scope(form.visitor, Scope.LEAD)
    try:
        saved_views.add(None if team else form.visitor.principal.key_id, name, query)
    except TooManyViewsError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    return go(HOME, notice="view_saved", **query)


@router.post("/views/{view_id}/remove")
def remove_view(
    view_id: Annotated[int, Path(ge=1, le=MAX_ID)], saved_views: parts.SavedViews, form: _ByReader
) -> Response:
    """Forget a saved search; one of the team takes a lead."""
    who = form.visitor
    if not saved_views.remove(view_id, who.principal.key_id, of_team=who.may("review:lead")):
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no saved view of this id that you may remove.")
    return go(HOME, notice="view_removed")


def _feed(
    search: parts.Search, stats: parts.Stats, who: Visitor, query: dict[str, str], cursor: str | None
) -> dict[str, Any]:
    filters = filters_of(query)
    matches = search.served(filters, limit=_ON_A_PAGE, after=decode_position(cursor))
    return {
        "rows": matches.rows,
        "next_cursor": encode_position(matches.next) if matches.next else None,
        "query": query,
        "values": list(VerdictValue),
        "counts": _counts(search, filters),
        "waits": stats(_WINDOW).backlog.values(),
        "may_drop": who.may("ingest"),
    }


def _counts(search: parts.Search, filters: Filters) -> dict[VerdictValue, str]:
    """Count the images of each verdict that the other filters leave, as the list would show them."""
    counts = {value: search.count_served(replace(filters, verdict=value), most=_MOST_COUNTED) for value in VerdictValue}
    return {value: f"{figure(count)}+" if count == _MOST_COUNTED else figure(count) for value, count in counts.items()}
