"""The feed: verdicts as they come, searched by what people look for."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api import parts
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, FromVisitor, Visitor
from api.errors.problems import InvalidError
from api.requests.cursors import decode_position, encode_position
from worker.database.search import Filters
from worker.decisions.vocabulary import VerdictValue

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)

_ON_A_PAGE = 24
_MOST_SOURCES = 200
_DAY = timedelta(hours=24)
# There are no smaller pictures to show; larger ones are a click away, so that phones load a page in seconds.
_MOST_THUMB_BYTES = 3 * 1024 * 1024
_FIELDS = ("verdict", "source", "since", "until", "at_least", "at_most")

Percent = Annotated[str, Query(max_length=6)]
Text = Annotated[str, Query(max_length=1024)]


@router.get("")
def show_feed(  # noqa: PLR0917 - a form's fields
    figures: parts.Figures,
    search: parts.Search,
    stats: parts.Stats,
    who: FromVisitor,
    verdict: Text = "",
    source: Text = "",
    since: Text = "",
    until: Text = "",
    at_least: Percent = "",
    at_most: Percent = "",
    image_id: Text = "",
    cursor: Text | None = None,
    said: Text | None = None,
) -> Response:
    """Show the newest verdicts, or those searched for."""
    if image_id.strip():
        return go(f"{HOME}/image", id=image_id.strip())
    asked = _asked(verdict, source, since, until, at_least, at_most)
    return page(
        "feed",
        who,
        **_found(search, stats, who, asked, cursor),
        sources=figures.sources(_MOST_SOURCES),
        first_page=cursor is None,
        said=said,
    )


@router.get("/feed")
def show_rows(  # noqa: PLR0917 - as above
    search: parts.Search,
    stats: parts.Stats,
    who: FromVisitor,
    verdict: Text = "",
    source: Text = "",
    since: Text = "",
    until: Text = "",
    at_least: Percent = "",
    at_most: Percent = "",
) -> Response:
    """Return the newest verdicts alone, for a page that keeps itself up to date."""
    asked = _asked(verdict, source, since, until, at_least, at_most)
    return page("feed_rows", who, **_found(search, stats, who, asked, None))


def _asked(*values: str) -> dict[str, str]:
    return dict(zip(_FIELDS, (value.strip() for value in values), strict=True))


def _found(
    search: parts.Search, stats: parts.Stats, who: Visitor, asked: dict[str, str], cursor: str | None
) -> dict[str, Any]:
    found = search(filters_of(asked), limit=_ON_A_PAGE, after=decode_position(cursor))
    return {
        "rows": found.rows,
        "next_cursor": encode_position(found.next) if found.next else None,
        "asked": asked,
        "values": list(VerdictValue),
        "stats": stats(_DAY),
        "most_thumb_bytes": _MOST_THUMB_BYTES,
        "may_drop": who.may("ingest"),
    }


def filters_of(asked: dict[str, str]) -> Filters:
    """Turn what a form says into a search; empty fields restrict nothing.

    Raises:
        InvalidError: a field says what cannot be.
    """
    value = asked["verdict"]
    if value and value not in set(VerdictValue):
        raise InvalidError("query", "verdict", f"there is no verdict {value!r}")
    least, most = _share("at_least", asked["at_least"]), _share("at_most", asked["at_most"])
    if least is not None and most is not None and least > most:
        raise InvalidError("query", "at_least", "must not exceed at_most")
    since, until = _day("since", asked["since"]), _day("until", asked["until"])
    # The last day is included.
    end = until + timedelta(days=1) if until else None
    return Filters(VerdictValue(value) if value else None, asked["source"] or None, since, end, least, most)


def _share(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        share = float(text.replace(",", ".")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InvalidError("query", name, "give percent, 0 to 100")
    return share


def _day(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidError("query", name, "give a day, such as 2026-11-21") from error
    # Days are UTC, as all times of the console are.
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
