"""What is due is taken by one dispatcher, within bounds, and handed back where it could not be published."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import select, text

from tests.conftest import Scanned
from tests.integration.database.ledger import end, lease_of
from worker.database.due_scans import backlog, hand_back
from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.scans import Scans
from worker.database.tables import Scan, ScanState

pytestmark = pytest.mark.integration


def test_a_dispatch_that_nobody_took_comes_again_and_is_held_against_nobody(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    assert scanned.dispatch() == [scan_id]
    assert scanned.dispatch() == []
    scanned.overdue(scan_id)
    assert scanned.dispatch() == [scan_id]
    scan = scanned.scan(scan_id)
    assert (scan.attempts, scan.lease_expiries) == (0, 0)
    assert scans.lease(scan_id, 60) is not None


def test_in_flight_scans_are_bounded_for_each_queue(scanned: Scanned, scans: Scans) -> None:
    live = [scanned.arrive(f"live-{number}") for number in range(5)]
    bulk = [scanned.arrive(f"bulk-{number}", BULK_QUEUE) for number in range(3)]
    assert scanned.dispatch(max_in_flight=3) == live[:3]
    assert scanned.dispatch(max_in_flight=3) == []
    assert scanned.dispatch(BULK_QUEUE, max_in_flight=3) == bulk
    lease = scans.lease(live[0], 60)
    assert lease is not None
    assert scanned.dispatch(max_in_flight=3) == []
    end(scans, lease)
    assert scanned.dispatch(max_in_flight=3) == [live[3]]


def test_expired_scans_do_not_count_as_in_flight_or_a_dead_worker_would_block_the_queue(
    scanned: Scanned, scans: Scans
) -> None:
    first, second = scanned.arrive("1"), scanned.arrive("2")
    assert scanned.dispatch(max_in_flight=1) == [first]
    assert scans.lease(first, 60) is not None
    scanned.overdue(first)
    # What expired is as due as what waits; the longest overdue goes first.
    taken = [*scanned.dispatch(max_in_flight=1), *scanned.dispatch(max_in_flight=2)]
    assert sorted(taken) == [first, second]


def test_dispatchers_side_by_side_take_different_scans(scanned: Scanned, together: Callable[..., list[Any]]) -> None:
    scan_ids = [scanned.arrive(str(number)) for number in range(60)]
    taken = together(*[lambda: scanned.dispatch(max_in_flight=1000)] * 4)
    assert sorted(scan_id for ids in taken for scan_id in ids) == scan_ids


def test_what_another_dispatcher_holds_is_skipped_not_waited_for(scanned: Scanned) -> None:
    first, second = scanned.arrive("1"), scanned.arrive("2")
    with scanned.database.transaction() as holding:
        holding.execute(select(Scan).where(Scan.id == first).with_for_update())
        assert scanned.dispatch() == [second]
    assert scanned.dispatch() == [first]


def test_what_could_not_be_published_is_queued_again(scanned: Scanned, scans: Scans) -> None:
    first, second = scanned.arrive("1"), scanned.arrive("2")
    scanned.dispatch()
    assert scans.lease(second, 60) is not None  # its message went out before the broker died
    with scanned.database.transaction() as session:
        hand_back(session, [first, second], retry_in=30)
    assert [scanned.scan(scan_id).state for scan_id in (first, second)] == [ScanState.QUEUED, ScanState.LEASED]
    assert scanned.dispatch() == []
    scanned.overdue(first)
    assert scanned.dispatch() == [first]


def test_the_backlog_is_what_is_open_and_how_old_the_oldest_is(scanned: Scanned, scans: Scans) -> None:
    first, _ = scanned.arrive("1"), scanned.arrive("2")
    with scanned.database.transaction() as session:
        session.execute(
            text("UPDATE scan SET created_at = now() - interval '90 seconds' WHERE id = :id"), {"id": first}
        )
        count, oldest = backlog(session, LIVE_QUEUE)
        assert (count, 89 < oldest < 100) == (2, True)
        assert backlog(session, BULK_QUEUE) == (0, 0.0)
    end(scans, lease_of(scanned, scans, first))
    with scanned.database.transaction() as session:
        assert backlog(session, LIVE_QUEUE)[0] == 1


def test_taking_what_is_due_reads_the_index_not_the_table(scanned: Scanned, monkeypatch: pytest.MonkeyPatch) -> None:
    with scanned.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO image (image_id, source, bucket, key, version, versioned) "
                "SELECT n, 'uploads', 'uploads', n, 'v', true FROM generate_series(1, 20000) n"
            )
        )
        session.execute(
            text(
                "INSERT INTO scan (image_pk, kind, queue, state, due_at) SELECT id, 'live', 'scan.live', "
                "CASE WHEN id % 100 = 0 THEN 'queued' ELSE 'completed' END, now() FROM image"
            )
        )
    with scanned.database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE scan"))
    plans: list[str] = []

    execute = psycopg.Cursor.execute

    def explain_and_execute(cursor: Any, query: Any, *values: Any, **options: Any) -> Any:
        if "scan" in str(query):
            rows = execute(cursor.connection.cursor(), f"EXPLAIN {query}", *values)
            plans.append("\n".join(row[0] for row in rows))
        return execute(cursor, query, *values, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", explain_and_execute)
    assert len(scanned.dispatch(max_in_flight=50)) == 50
    assert len(plans) == 2
    assert all("Seq Scan on scan" not in plan for plan in plans) and "ix_scan_due" in plans[1], plans  # noqa: PT018
