"""Statements given to the driver as they are: values, rows, and errors as SQLAlchemy names them."""

from uuid import UUID

import pytest
from sqlalchemy import Text, bindparam, func, insert, select
from sqlalchemy.exc import IntegrityError

from tests.conftest import Scanned
from worker.database.driver_statement import DriverStatement
from worker.database.session import Database, DatabaseDownError
from worker.database.tables import Duty, Scan

pytestmark = pytest.mark.integration

_ADD = DriverStatement(insert(Duty.__table__).returning(Duty.name), ("name",))  # type: ignore[arg-type]
_NAMES = DriverStatement(select(Duty.name).order_by(Duty.name))
_END = DriverStatement(select(func.pg_terminate_backend(func.pg_backend_pid())))


def test_it_gives_rows_or_a_first_value_or_none(database: Database) -> None:
    with database.transaction() as session:
        assert _ADD.scalar(session, {"name": "sweep"}) == "sweep"
        assert _NAMES.rows(session, {}) == [("sweep",)]
        nobody = DriverStatement(select(Duty.name).where(Duty.name == bindparam("who", type_=Text())))
        assert (nobody.rows(session, {"who": "alive"}), nobody.scalar(session, {"who": "alive"})) == ([], None)


def test_values_travel_as_their_columns_have_them(scanned: Scanned) -> None:
    scan_id, token = scanned.arrive(), UUID(int=7)
    scans = Scan.__table__
    change = DriverStatement(
        scans.update()  # type: ignore[attr-defined]
        .where(scans.c.id == bindparam("scan"))
        .values(timings=bindparam("timings", type_=scans.c.timings.type), lease_token=bindparam("token"))
    )
    with scanned.database.transaction() as session:
        assert change.rows(session, {"scan": scan_id, "timings": {"fetch": 1.5}, "token": token}) == []
    assert (scanned.scan(scan_id).timings, scanned.scan(scan_id).lease_token) == ({"fetch": 1.5}, token)


def test_it_is_undone_with_its_transaction(database: Database) -> None:
    def add_twice() -> None:
        with database.transaction() as session:
            _ADD.rows(session, {"name": "sweep"})
            _ADD.rows(session, {"name": "sweep"})

    with pytest.raises(IntegrityError, match="pk_schedule"):
        add_twice()
    with database.statement() as session:
        assert _NAMES.rows(session, {}) == []


def test_a_lost_connection_is_an_outage_and_the_next_one_is_new(database: Database) -> None:
    with pytest.raises(DatabaseDownError), database.transaction() as session:
        _END.rows(session)
    assert database.fetch_rows(_NAMES) == []
    with pytest.raises(DatabaseDownError):
        database.fetch_value(_END)
    assert database.fetch_rows(_NAMES) == []


def test_one_that_is_a_transaction_by_itself_is_part_of_a_long_one_that_was_joined(database: Database) -> None:
    assert database.fetch_value(_ADD, {"name": "sweep"}) == "sweep"
    whole = database.begin()
    whole.join()
    assert database.fetch_value(_ADD, {"name": "alive"}) == "alive"
    whole.leave()
    assert database.fetch_rows(_NAMES) == [("sweep",)]
    whole.end(commit=True)
    assert database.fetch_rows(_NAMES) == [("alive",), ("sweep",)]
