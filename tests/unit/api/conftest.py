from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from api.main import create_app
from tests.support.api_world import World, fake_world


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Keep log lines from being rendered, and in reach."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def world() -> World:
    return fake_world()


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    """Serve the fakes to a client whose key may do everything."""
    app = create_app(world.services)
    with TestClient(app, headers={"Authorization": "Bearer assay_admin"}, follow_redirects=False) as served:
        yield served
