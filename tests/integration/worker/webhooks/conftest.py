from collections.abc import Callable, Iterator

import pytest

from tests.integration.api.conftest import BUNDLE, Rows
from tests.integration.worker.webhooks.receivers import Platform, Receiver, sender
from worker.database.session import Database
from worker.database.tables import Bundle, BundleRole
from worker.database.webhook_endpoints import WebhookEndpoints
from worker.duties.webhooks import Sender


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    platforms: list[Platform] = []

    def make() -> Receiver:
        platforms.append(Platform())
        return platforms[-1].receiver

    yield make
    for platform in platforms:
        platform.end()


@pytest.fixture
def rows(database: Database) -> Rows:
    with database.transaction() as session:
        session.add(Bundle(version=BUNDLE, name="t", role=BundleRole.REGISTERED, location="x", card={}))
    return Rows(database)


@pytest.fixture
def endpoints(database: Database) -> WebhookEndpoints:
    return WebhookEndpoints(database)


@pytest.fixture
def send(database: Database) -> Sender:
    return sender(database)
