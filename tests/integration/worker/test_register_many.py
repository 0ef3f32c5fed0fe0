"""A flood of events costs a few statements, and makes rows of those objects alone that the store has."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select, text

from tests.conftest import Buckets
from tests.integration.worker.conftest import etag_of, make_register
from worker.database.images import NewImage, insert_images_and_scans
from worker.database.session import Database
from worker.database.tables import Image, Scan
from worker.ingest.events import ObjectCreated

pytestmark = pytest.mark.integration


@pytest.fixture
def statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent from now on, whether SQLAlchemy runs it or the driver alone."""
    with database.transaction() as session:
        session.execute(text("SELECT 'connected'"))
    sent: list[str] = []
    execute = psycopg.Cursor.execute

    def note_and_execute(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        sent.append(str(query))
        return execute(cursor, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", note_and_execute)
    return sent


def image_of(key: str, *, confirmed: bool = True) -> NewImage:
    return NewImage(key, "same", "uploads", key, "v1", versioned=True, size_bytes=1, confirmed=confirmed)


def test_many_events_make_rows_by_a_few_statements_and_only_for_what_the_store_has(
    database: Database, object_store: Buckets, statements: list[str]
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
    intake = register.take_many([*events, *events[:3], *ghosts, ObjectCreated("somebody-elses", ("a.png",))])
    assert (len(intake.registered), intake.refused, intake.missing) == (23, 1, 30)
    assert 2 <= len(statements) <= 6
    assert [one.created for one in register.take_many(events).registered] == [False] * 20
    with database.transaction() as session:
        assert set(session.scalars(select(Image.key))) == set(puts)
        assert session.scalar(select(func.count()).select_from(Scan)) == 20


def test_the_statements_of_a_registration_are_the_same_whatever_its_size(
    database: Database, statements: list[str]
) -> None:
    texts = []
    for first, count in ((0, 2), (2, 7)):
        with database.transaction() as session:
            images = [image_of(f"same/{number}") for number in range(first, first + count)]
            assert len(insert_images_and_scans(session, images)) == count
        texts.append(statements.copy())
        statements.clear()
    assert texts[0] == texts[1]
    assert len(texts[0]) == 2


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_what_the_store_has_shown_stands_whatever_another_event_of_the_same_state_claims(
    database: Database, order: tuple[bool, bool]
) -> None:
    with database.transaction() as session:
        insert_images_and_scans(session, [image_of("a.png", confirmed=confirmed) for confirmed in order])
    with database.transaction() as session:
        assert session.scalars(select(Image.confirmed)).all() == [True]
