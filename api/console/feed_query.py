"""What the feed's filters say, as a search. Pure."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from api.errors.problems import InvalidError
from worker.database.search import Filters
from worker.decisions.vocabulary import VerdictValue

FIELDS = ("verdict", "source", "since", "until", "at_least", "at_most")


def filters_of(query: Mapping[str, str]) -> Filters:
    """Turn what a form says into a search; empty fields restrict nothing.

    Raises:
        InvalidError: a field says what cannot be.
    """
    value = query["verdict"]
    if value and value not in set(VerdictValue):
        raise InvalidError("query", "verdict", f"there is no verdict {value!r}")
    least, most = _share("at_least", query["at_least"]), _share("at_most", query["at_most"])
    if least is not None and most is not None and least > most:
        raise InvalidError("query", "at_least", "must not exceed at_most")
    since, until = _day("since", query["since"]), _day("until", query["until"])
    # The last day is included.
    end = until + timedelta(days=1) if until else None
    return Filters(VerdictValue(value) if value else None, query["source"] or None, since, end, least, most)


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
