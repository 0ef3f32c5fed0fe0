import pytest
from sqlalchemy import insert

from tests.integration.api.conftest import BUNDLE, Rows
from worker.database.session import Database
from worker.database.tables import Bundle, BundleRole


@pytest.fixture
def rows(database: Database) -> Rows:
    """Hands that put rows where the worker would, under a bundle that rests."""
    with database.transaction() as session:
        bundle = {"version": BUNDLE, "name": "tests", "role": BundleRole.REGISTERED, "location": "x", "card": {}}
        session.execute(insert(Bundle).values(**bundle))
    return Rows(database)
