"""Features are kept for so many days, one for each image and bundle."""

import pytest
from sqlalchemy import select, text

from tests.integration.api.conftest import BUNDLE, Rows
from worker.database.features import StoredFeatures, put
from worker.database.session import Database
from worker.database.tables import Feature
from worker.duties.old_features import OldFeatures

pytestmark = pytest.mark.integration


def keep(database: Database, image: int, seen: bytes) -> None:
    with database.transaction() as session:
        put(session, image, BUNDLE, StoredFeatures(seen, {"clip": 1.5, "convnext": -0.5}, (0.25, 0.75)))


def kept(database: Database) -> list[tuple[int, bytes]]:
    with database.transaction() as session:
        return [(row.image_pk, row.features) for row in session.scalars(select(Feature).order_by(Feature.image_pk))]


def test_the_newest_scan_by_a_bundle_counts(database: Database, rows: Rows) -> None:
    image = rows.image("cat")
    keep(database, image, b"old")
    keep(database, image, b"new")
    assert kept(database) == [(image, b"new")]
    with database.transaction() as session:
        row = session.scalars(select(Feature)).one()
    assert (row.logits, row.covariates) == ({"clip": 1.5, "convnext": -0.5}, [0.25, 0.75])


def test_what_is_too_old_goes_however_much_it_is(database: Database, rows: Rows) -> None:
    images = [rows.image(f"i{number}") for number in range(7)]
    for image in images:
        keep(database, image, b"seen")
    with database.transaction() as session:
        age = text("UPDATE feature SET created_at = now() - interval '91 days' WHERE image_pk <= :id")
        session.execute(age, {"id": images[4]})
    assert OldFeatures(database, 90, at_once=2)() == 5
    assert [image for image, _ in kept(database)] == images[5:]
    assert OldFeatures(database, 0, at_once=2)() == 2
