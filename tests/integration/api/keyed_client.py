"""A client of the API that sends a key with every request."""

from collections.abc import Iterator
from dataclasses import replace

from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from api.main import create_app
from api.services import Services

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100


RAW = {"Content-Type": "image/png"}


def served(services: Services, key: str) -> Iterator[TestClient]:
    headers = {"Authorization": f"Bearer {key}"}
    fresh = replace(services, registry=CollectorRegistry())
    with TestClient(create_app(fresh), headers=headers, follow_redirects=False) as client:
        yield client
