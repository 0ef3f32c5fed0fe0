"""A flood of events costs a few statements, and makes rows of those objects alone that the store has."""

from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.engine.interfaces import CacheStats

from tests.conftest import Buckets
from tests.integration.worker.conftest import etag_of, make_register
from worker.database.images import NewImage, insert_images_and_scans
from worker.database.session import Database
from worker.database.tables import Image, Scan
from worker.ingest.events import ObjectCreated

pytestmark = pytest.mark.integration


def test_many_events_make_rows_by_a_few_statements_and_only_for_what_the_store_has(
    database: Database, object_store: Buckets
) -> None:
    register = make_register(database, object_store)
    puts = {
        f"many/{number}.png": object_store.s3.put_object(
            Bucket=object_store.uploads, Key=f"many/{number}.png", Body=b"x"
        )
        for number in range(20)
    }
    events = [
        ObjectCreated(object_store.uploads, (key,), put["VersionId"], etag_of(put), 1) for key, put in puts.items()
    ]
    ghosts = [
        ObjectCreated(object_store.uploads, (f"ghost/{number}.png",), f"v{number}", "e9", 7) for number in range(30)
    ]
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    intake = register.take_many([*events, *events[:3], *ghosts, ObjectCreated("somebody-elses", ("a.png",))])
    event.remove(database.engine, "before_cursor_execute", note)
    assert (len(intake.registered), intake.refused, intake.missing) == (23, 1, 30)
    assert len(statements) <= 6
    assert [one.created for one in register.take_many(events).registered] == [False] * 20
    with database.transaction() as session:
        assert set(session.scalars(select(Image.key))) == set(puts)
        assert session.scalar(select(func.count()).select_from(Scan)) == 20


def test_the_statements_of_a_registration_are_put_together_once_whatever_its_size(database: Database) -> None:
    def images(first: int, count: int) -> list[NewImage]:
        return [
            NewImage(f"same/{number}", "same", "uploads", f"same/{number}", "v1", versioned=True, size_bytes=1)
            for number in range(first, first + count)
        ]

    with database.transaction() as session:
        insert_images_and_scans(session, images(0, 2))
    made_anew: list[str] = []

    def note(
        _connection: object, _cursor: object, statement: str, _parameters: object, context: Any, *_: object
    ) -> None:
        if context.cache_hit is not CacheStats.CACHE_HIT:
            made_anew.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    with database.transaction() as session:
        assert len(insert_images_and_scans(session, images(2, 7))) == 7
    event.remove(database.engine, "before_cursor_execute", note)
    assert made_anew == []
