"""The stand-in of the object store: RustFS' variables and health check, and events that wait for their webhook."""

import asyncio
import importlib
import urllib.error
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.compose_file import read_services


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, repository: Path) -> ModuleType:
    # In its image both files lie side by side.
    monkeypatch.syspath_prepend(str(repository / "infra" / "embedded"))
    return importlib.import_module("infra.containers.run_object_store")


class Queue:
    """SQS with one queue in memory."""

    def __init__(self, *bodies: str) -> None:
        self.waiting = list(bodies)

    def receive_message(self, **_asked: Any) -> dict[str, Any]:
        return {"Messages": [{"Body": body, "ReceiptHandle": body} for body in self.waiting]}

    def delete_message(self, **named: str) -> None:
        self.waiting.remove(named["ReceiptHandle"])


def test_an_event_that_was_posted_leaves_the_queue(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue("one", "two")
    posted: list[bytes] = []
    relay = module.Relay(queue, "http://api:8080/v1/events/s3", "token")
    monkeypatch.setattr(relay, "_post", posted.append)
    relay.pass_on("queue")
    assert posted == [b"one", b"two"]
    assert queue.waiting == []


def test_an_event_that_the_api_did_not_take_waits_in_the_queue(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue("one", "two")
    relay = module.Relay(queue, "http://api:8080/v1/events/s3", "token")

    def refuse(body: bytes) -> None:
        if body == b"two":
            raise urllib.error.URLError("away")

    monkeypatch.setattr(relay, "_post", refuse)
    with pytest.raises(urllib.error.URLError):
        relay.pass_on("queue")
    assert queue.waiting == ["two"]


def test_it_reads_the_variables_that_compose_gives_to_rustfs(
    module: ModuleType, tmp_path: Path, repository: Path
) -> None:
    given = dict(read_services(repository / "docker-compose.yml")["object-store"].environment)
    for name in ("ACCESS_KEY", "SECRET_KEY"):
        (tmp_path / name).write_text(f"{name}\n")
        given[f"RUSTFS_{name}_FILE"] = str(tmp_path / name)
    made = module.ministack_variables(given)
    assert (made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"]) == ("ACCESS_KEY", "SECRET_KEY")
    assert (made["BIND_HOST"], made["GATEWAY_PORT"], made["S3_DATA_DIR"]) == ("0.0.0.0", "9000", "/data/s3")  # noqa: S104 - a container's own network


def test_its_health_is_asked_where_rustfs_is_and_nothing_else_is_opened(module: ModuleType) -> None:
    paths = []

    async def gate(scope: dict[str, Any], _receive: Any, _send: Any) -> None:
        paths.append(scope["path"])

    async def ask() -> None:
        door = module.Door(gate)
        for path in ("/health", "/uploads/health", "/_ministack/reset"):
            await door({"type": "http", "path": path}, None, None)

    asyncio.run(ask())
    assert paths == ["/_ministack/ready", "/uploads/health", "/_ministack/reset"]
