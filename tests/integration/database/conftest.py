import pytest
from sqlalchemy import insert

from tests.conftest import Scanned
from tests.integration.api.conftest import BUNDLE, Rows
from tests.integration.database.two_bundles import BAD, GOOD, World
from worker.database.scans import Scans
from worker.database.session import Database
from worker.database.tables import Bundle, BundleRole


@pytest.fixture
def rows(database: Database) -> Rows:
    """Hands that put rows where the worker would, under a bundle that rests."""
    with database.transaction() as session:
        bundle = {"version": BUNDLE, "name": "tests", "role": BundleRole.REGISTERED, "location": "x", "card": {}}
        session.execute(insert(Bundle).values(**bundle))
    return Rows(database)


@pytest.fixture
def scans(scanned: Scanned) -> Scans:
    """The ledger of scans, with a champion to scan by."""
    scanned.crown("b1")
    return Scans(scanned.database)


@pytest.fixture
def world(scanned: Scanned) -> World:
    scanned.crown(GOOD)
    made = World(scanned)
    made.promote(BAD)
    return made
