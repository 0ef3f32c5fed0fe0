"""The feed of changes: numbered after commit by one writer, so that nobody who reads on from a number misses one."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, text

from api.reference.webhook_bodies import EXAMPLES
from tests.conftest import Scanned
from tests.integration.api.conftest import Rows
from worker.database.appeals import Appeals
from worker.database.audit import Actor
from worker.database.changes import Changes, ExpiredError
from worker.database.erasure import Erasure
from worker.database.session import Database, connect
from worker.database.tables import Change, ScanState, WebhookDelivery
from worker.database.webhook_endpoints import Event, WebhookEndpoints
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.duties.changes import NumberChanges

pytestmark = pytest.mark.integration

ME = Actor("me")
INSERT = text("INSERT INTO change (event, payload) VALUES ('bundle.promoted', jsonb_build_object('promotion_id', :id))")


@pytest.fixture
def changes(database: Database) -> Changes:
    return Changes(database)


def numbers(database: Database) -> dict[int, int | None]:
    """Number by what the change is about."""
    with database.transaction() as session:
        rows = session.execute(select(Change.payload["promotion_id"].as_integer(), Change.number))
        return dict(rows.all())


def test_of_overlapping_transactions_the_feed_loses_none_and_never_goes_back(
    database: Database, changes: Changes
) -> None:
    with database.engine.connect() as slow, database.engine.connect() as quick:
        slow.execute(INSERT, {"id": 1})  # the smaller id, and it commits last
        quick.execute(INSERT, {"id": 2})
        assert changes.all_numbered()  # nothing is committed
        quick.commit()
        assert not changes.all_numbered()
        assert changes.number_some() == 1
        assert changes.all_numbered()
        place = changes.newest()
        assert (place, numbers(database)[2]) == (1, 1)
        slow.commit()
    assert changes.number_some() == 1
    assert numbers(database) == {2: 1, 1: 2}
    assert changes.page(place, limit=9).last == 2


def test_many_writers_and_many_that_number_leave_no_gap_and_no_second_of_a_number(
    database_url: str, database: Database, together: Callable[..., list[Any]]
) -> None:
    """A reader follows while others write and number: what it reads grows at its end alone."""
    done, read = threading.Event(), list[int]()

    def write(first: int) -> None:
        own = connect(database_url)
        for number in range(first, first + 40):
            with own.engine.begin() as connection:
                connection.execute(INSERT, {"id": number})
        own.engine.dispose()

    def number() -> None:
        own = connect(database_url)
        while not done.is_set():
            NumberChanges(Changes(own))()
        own.engine.dispose()

    def follow() -> None:
        after = 0
        with database.engine.connect() as connection:
            later = text("SELECT number FROM change WHERE number > :after ORDER BY number")
            while len(read) < 120:
                read.extend(connection.scalars(later, {"after": after}))
                connection.commit()
                after = read[-1] if read else 0
        done.set()

    together(*[lambda first=first: write(first) for first in (1000, 2000, 3000)], number, number, follow)
    assert read == list(range(1, 121))


def test_every_kind_of_event_is_in_the_feed_whether_anybody_listens_or_not(
    scanned: Scanned, changes: Changes, rows: Rows
) -> None:
    image = rows.image("cat")
    rows.verdict(image, verdict=VerdictValue.AI_GENERATED)
    case = Appeals(scanned.database).add(ME, "cat", reason="no", contact=None)
    assert case is not None
    Appeals(scanned.database).decide(ME, case.appeal.id, "not_ai_generated", reviewer="lena", reason="yes")  # type: ignore[arg-type]
    scan = rows.scan(rows.image("dog"), ScanState.QUEUED)
    with scanned.database.transaction() as session:
        session.execute(text("UPDATE scan SET state = 'rejected', reason = 'gone' WHERE id = :id"), {"id": scan})
    NumberChanges(changes)()
    page = changes.page(None, limit=50)
    assert [number for number, _ in page.items] == list(range(1, len(page.items) + 1))
    kinds = [content["type"] for _, content in page.items]
    assert kinds == ["verdict.created", "verdict.created", "verdict.changed", "appeal.decided", "scan.rejected"]
    for _, content in page.items:
        assert content["data"].keys() == EXAMPLES[Event(content["type"])].keys()
    changed = page.items[2][1]["data"]
    assert (changed["image_id"], changed["previous"], changed["verdict"]) == ("cat", "ai_generated", "not_ai_generated")
    assert (changed["recommended_action"], page.items[4][1]["data"]["recommended_action"]) == ("allow", "hold")
    with scanned.database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 0
    of_a_kind = changes.page(0, limit=50, events=[Event.SCAN_REJECTED])
    assert ([number for number, _ in of_a_kind.items], of_a_kind.last, of_a_kind.more) == ([5], 5, False)


def test_pages_join_without_a_gap_and_an_empty_one_goes_on_from_the_end(changes: Changes, rows: Rows) -> None:
    for name in "abcde":
        rows.verdict(rows.image(name))
    NumberChanges(changes)()
    first = changes.page(None, limit=2)
    second = changes.page(first.last, limit=2)
    third = changes.page(second.last, limit=2)
    assert [first.more, second.more, third.more] == [True, True, False]
    images = [content["data"]["image_id"] for page in (first, second, third) for _, content in page.items]
    assert (images, third.last, changes.page(third.last, limit=2).items) == (list("abcde"), 5, [])
    none = changes.page(0, limit=2, events=[Event.SCAN_DEAD])
    assert (none.items, none.last, none.more) == ([], 5, False)


def test_an_erased_image_is_passed_over(database: Database, changes: Changes, rows: Rows) -> None:
    for name in ("cat", "dog"):
        rows.verdict(rows.image(name))
    NumberChanges(changes)()
    assert Erasure(database, "artifacts").erase(ME, "cat")
    page = changes.page(None, limit=9)
    assert ([content["data"]["image_id"] for _, content in page.items], page.last) == (["dog"], 2)
    only = changes.page(None, limit=1)
    assert (only.items, only.last, only.more) == ([], 1, True)


def test_what_is_too_old_goes_in_order_and_its_cursors_are_refused(database: Database, changes: Changes) -> None:
    with database.transaction() as session:
        for number in range(4):
            session.execute(INSERT, {"id": number})
    NumberChanges(changes)()
    with database.transaction() as session:
        session.execute(text("UPDATE change SET created_at = now() - interval '40 days' WHERE number IN (1, 2, 4)"))
    assert [changes.drop(30, most=1), changes.drop(30, most=9), changes.drop(30, most=9)] == [1, 1, 0]
    for expired in (0, 1, 5):  # 5 was never given: a backup was restored
        with pytest.raises(ExpiredError):
            changes.page(expired, limit=9)
    assert changes.page(2, limit=9).last == changes.page(None, limit=9).last == 4
    with database.transaction() as session:
        session.execute(text("UPDATE change SET created_at = now() - interval '40 days'"))
        session.execute(INSERT, {"id": 9})
    changes.drop(30, most=9)
    assert (changes.newest(), changes.number_some(), changes.newest()) == (4, 1, 5)


def test_webhooks_are_told_of_the_same(database: Database, changes: Changes, rows: Rows) -> None:
    endpoints = WebhookEndpoints(database)
    made = endpoints.add(ME, "https://platform.example/", [Event.VERDICT_CHANGED])
    image = rows.image("cat")
    rows.verdict(image, verdict=VerdictValue.AI_GENERATED)
    rows.verdict(image, DecidedBy.HUMAN, verdict=VerdictValue.UNCERTAIN)
    (delivery,) = endpoints.deliveries(made.endpoint.id, limit=9)
    NumberChanges(changes)()
    fed = [content for _, content in changes.page(None, limit=9, events=[Event.VERDICT_CHANGED]).items]
    assert [(delivery.event, delivery.payload["verdict_id"])] == [
        (one["type"], one["data"]["verdict_id"]) for one in fed
    ]


def test_a_page_is_read_from_its_index(database: Database) -> None:
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO change (event, payload, number) SELECT 'verdict.created', '{\"verdict_id\": 1}', n "
                "FROM generate_series(1, 50000) AS n"
            )
        )
        session.execute(text("ANALYZE change"))
        plans = [
            "\n".join(session.scalars(text(f"EXPLAIN {statement}")))
            for statement in (
                "SELECT * FROM change WHERE number > 25000 ORDER BY number LIMIT 201",
                "SELECT min(number), max(number) FROM change",
                "SELECT id FROM change WHERE number IS NULL ORDER BY id LIMIT 5000",
            )
        ]
    assert [plan for plan in plans if "Seq Scan" in plan] == []
