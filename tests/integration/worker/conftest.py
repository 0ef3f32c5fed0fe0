"""A register of images on a real store and a real Postgres."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.conftest import Buckets
from worker.database.session import Database
from worker.database.tables import Image, Scan
from worker.ingest.register import Register
from worker.ingest.sweep import Sweep

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
Age = Callable[[timedelta], None]
KEY = "dir/a b+ü%.jpg"


def make_register(database: Database, store: Buckets, pattern: str | None = None) -> Register:
    buckets = [store.uploads, store.plain, store.artifacts]
    return Register(
        database, store.objects, upload_buckets=buckets, artifact_bucket=store.artifacts, image_id_pattern=pattern
    )


@pytest.fixture
def register(database: Database, object_store: Buckets) -> Register:
    return make_register(database, object_store)


@pytest.fixture
def sweep(database: Database, object_store: Buckets, register: Register) -> Sweep:
    return Sweep(database, object_store.objects, register, [object_store.uploads, object_store.plain])


@pytest.fixture
def age(database: Database) -> Age:
    """Makes all known images older, so that no test waits for the store's clock, which counts seconds."""

    def make(older: timedelta) -> None:
        with database.transaction() as session:
            session.execute(
                update(Image).values(stored_at=Image.stored_at - older, created_at=Image.created_at - older)
            )

    return make


def images(database: Database) -> list[Image]:
    with database.transaction() as session:
        found = list(session.scalars(select(Image).order_by(Image.id)))
        assert sorted(session.scalars(select(Scan.image_pk))) == [image.id for image in found]
        return found


def etag_of(answer: Any) -> str:
    return str(answer["ETag"]).strip('"')


def scan_state(database: Database) -> tuple[str, str | None, bool]:
    with database.transaction() as session:
        scan = session.scalars(select(Scan)).one()
        return scan.state, scan.reason, scan.due_at is not None
