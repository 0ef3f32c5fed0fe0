"""Statements that every scan pays for, made once: to put one together costs a worker more than to send it.

They are of the tables, where rows as objects are not needed.
"""

from functools import cache
from typing import Any

from sqlalchemy import Text, Uuid, bindparam, func, update
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.driver_statement import DriverStatement
from worker.database.serving_rule import withdrawn_bundles
from worker.database.tables import Image, Scan, ScanState, Verdict

_SCANS: Any = Scan.__table__
_IMAGES: Any = Image.__table__
_VERDICTS: Any = Verdict.__table__


@cache
def add_verdict(*columns: str) -> DriverStatement:
    """Return the statement that writes a verdict's row; it gives its id, and no row where the scan has one."""
    return DriverStatement(upsert(_VERDICTS).on_conflict_do_nothing().returning(_VERDICTS.c.id), columns)


@cache
def end_of_scan(*columns: str) -> DriverStatement:
    """Return the statement that ends a scan whose lease is held: takes `scan`, `token` and `new_…` for each column.

    It gives the scan's id, and no row where the lease was lost.
    """
    values = {name: bindparam(f"new_{name}", type_=_SCANS.c[name].type) for name in columns}
    mine = update(_SCANS).where(
        _SCANS.c.id == bindparam("scan"),
        _SCANS.c.state == ScanState.LEASED,
        _SCANS.c.lease_token == bindparam("token", type_=Uuid()),
    )
    final = {"lease_token": None, "due_at": None, "finished_at": func.now()}
    return DriverStatement(mine.values(**final, **values).returning(_SCANS.c.id))


@cache
def learn(*columns: str) -> DriverStatement:
    """Return the statement that writes down what was learnt of an image: takes `image`, `bundle` and `new_…`.

    It tells whether the bundle's verdicts are withdrawn by now.
    """
    values = {name: bindparam(f"new_{name}", type_=_IMAGES.c[name].type) for name in columns}
    withdrawn = bindparam("bundle", type_=Text()).in_(withdrawn_bundles())
    return DriverStatement(
        update(_IMAGES).where(_IMAGES.c.id == bindparam("image")).values(**values).returning(withdrawn)
    )


def new(values: dict[str, Any]) -> dict[str, Any]:
    """Return values by the names that the statements above know them by."""
    return {f"new_{name}": value for name, value in values.items()}
