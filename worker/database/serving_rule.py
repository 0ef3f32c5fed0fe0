"""The serving rule as statements ask for it; the rule itself is the database's function `assay_served`.

Served is the newest human decision, else the newest row that is neither shadow nor withdrawn by a rollback.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, FromClause, Select, Text, column, func, literal, select

_TIME = DateTime(timezone=True)
_ANY_ID = 2**63 - 1


def served_verdict(
    image_pk: Any, *, at: Any = None, upto: int = _ANY_ID, by_machine: bool = False, name: str = "served"
) -> FromClause:
    """Return a table of at most one row, `id` of the verdict that is served for an image; for a lateral join.

    Args:
        image_pk: of the image; a column of the statement, or a value.
        at: as of this time; None for now.
        upto: of verdicts up to this id.
        by_machine: what would be served if no person had decided.
        name: alias in the statement.
    """
    arguments = (image_pk, _time(at), literal(upto, BigInteger), literal(by_machine, Boolean))
    return func.assay_served(*arguments).table_valued(column("id", BigInteger)).lateral(name)


def withdrawn_bundles(at: Any = None) -> Select[str]:
    """Return the statement for the versions whose verdicts are not served, as of a time; None for now."""
    return select(func.assay_withdrawn(_time(at)).table_valued(column("version", Text)).c.version)


def _time(at: Any) -> Any:
    return literal("infinity", _TIME) if at is None else at
