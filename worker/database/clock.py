"""Times by the database's clock, so that the clocks of machines do not matter."""

from typing import Any

from sqlalchemy import ColumnElement, Interval, cast, func, literal


def from_now(seconds: float) -> ColumnElement[Any]:
    """Return the time in so many seconds."""
    return func.now() + cast(literal(f"{seconds} seconds"), Interval)
