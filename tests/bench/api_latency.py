"""How fast the API answers with 1,000,000 images and 2,000,000 verdicts, at 100 requests a second.

Three questions, one after the other: what is served for a random image, one
random verdict, and the first page of a random search. Fills a scratch database
(see seed.py), serves the API with uvicorn as a process of its own, and asks at
a steady pace whether answers come or not (open loop). A latency counts from
the moment its request was due, so a stall is not hidden by the requests that
waited behind it. Prints one JSON object.

    python tests/bench/api_latency.py [--database-url postgresql+psycopg://assay@127.0.0.1:5432/scratch]
"""

import argparse
import http.client
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import quote, urlencode

from seed import SOURCES, seed
from sqlalchemy import text

from infra.embedded.stack import EmbeddedStack
from worker.database.api_keys import ApiKeys, Scope
from worker.database.migrate import upgrade
from worker.database.session import connect
from worker.decisions.vocabulary import VerdictValue

_CLIENTS = 32
_WARM_UP_REQUESTS = 200
_START_SECONDS = 300  # a machine with other work takes minutes


def main() -> None:
    """Fill, serve, ask, print."""
    arguments = _arguments()
    if arguments.database_url:
        _bench(arguments.database_url, "", arguments)
        return
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        parts = ["postgres", "valkey"]
        Path(scratch).chmod(0o711)  # as root, Postgres runs as another user
        with EmbeddedStack(Path(scratch), parts=parts, fixed_ports=dict.fromkeys(parts, 0)) as addresses:
            _bench(addresses.database_url, addresses.redis_url, arguments)


def _bench(database_url: str, redis_url: str, arguments: argparse.Namespace) -> None:
    database = connect(database_url)
    upgrade(database)
    images = seed(database, arguments.images)
    with database.transaction() as session:
        verdicts = session.scalar(text("SELECT max(id) FROM verdict")) or 0
    key = ApiKeys(database).create("bench", [Scope.READ]).key
    chance = random.Random(20261121)  # noqa: S311 - which image is asked for is no secret.
    questions: dict[str, Callable[[], str]] = {
        "image": lambda: f"/v1/images/{quote(f'bench/{chance.randint(1, images)} ü.jpg', safe='')}",
        "verdict": lambda: f"/v1/verdicts/{chance.randint(1, verdicts)}",
        "search": lambda: f"/v1/verdicts?{urlencode(_search(chance))}",
    }
    figures: dict[str, Any] = {
        "images": images,
        "verdicts": verdicts,
        "asked_per_second": arguments.rate,
        "searched_per_second": arguments.search_rate,
    }
    with serve_api(database_url, redis_url) as port:
        for name, question in questions.items():
            asker = _Asker(port, key, question)
            for _ in range(_WARM_UP_REQUESTS):
                asker.ask(time.perf_counter())
            asker.latencies.clear()
            rate = arguments.search_rate if name == "search" else arguments.rate
            figures[name] = _measure(asker, rate, arguments.seconds)
    print(json.dumps(figures))
    database.engine.dispose()


def _search(chance: random.Random) -> dict[str, Any]:
    """Return any filters at all: each is there half of the time, whether something matches them or not."""
    now = datetime.now(UTC)
    least, most = sorted((chance.random(), chance.random()))
    since, until = sorted(now - timedelta(days=100 * chance.random()) for _ in range(2))
    filters = {
        "verdict": chance.choice(list(VerdictValue)),
        "source": f"bench/{chance.randrange(SOURCES)}",
        "min_probability": round(least, 4),
        "max_probability": round(most, 4),
        "since": since.isoformat(),
        "until": until.isoformat(),
    }
    return {name: value for name, value in filters.items() if chance.random() < 0.5} | {"limit": 50}


def _measure(asker: "_Asker", rate: float, seconds: float) -> dict[str, Any]:
    started = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as clients:
        for number in range(int(rate * seconds)):
            due = started + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            clients.submit(asker.ask, due)
    wall = time.perf_counter() - started
    cuts = quantiles(asker.latencies, n=100, method="inclusive")
    figures = {"p50_ms": cuts[49], "p95_ms": cuts[94], "p99_ms": cuts[98], "max_ms": max(asker.latencies)}
    return {
        **{name: round(1000 * value, 2) for name, value in figures.items()},
        "requests": len(asker.latencies) + asker.errors,
        "errors": asker.errors,
        "rate": round(len(asker.latencies) / wall, 1),
    }


class _Asker:
    """Asks questions over connections that stay open, one for each thread."""

    def __init__(self, port: int, key: str, question: Callable[[], str]) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {key}"}
        self._question = question
        self._thread = threading.local()
        self.latencies: list[float] = []
        self.errors = 0

    def ask(self, due: float) -> None:
        """Ask one question; count what is no answer as an error."""
        try:
            connection = self._connection()
            connection.request("GET", self._question(), headers=self._headers)
            with connection.getresponse() as response:
                content = response.read()
            if response.status != http.HTTPStatus.OK:
                raise ValueError(content[:300])
            self.latencies.append(time.perf_counter() - due)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._thread.connection = None
            self.errors += 1
            print(f"error: {error!r}", file=sys.stderr)

    def _connection(self) -> http.client.HTTPConnection:
        if getattr(self._thread, "connection", None) is None:
            self._thread.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        found: http.client.HTTPConnection = self._thread.connection
        return found


@contextmanager
def serve_api(database_url: str, redis_url: str) -> Iterator[int]:
    """Serve the API in a process of its own; yields its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
    # The object store is never asked here, so its address may lead nowhere.
    environment = {
        "ASSAY_DATABASE_URL": database_url,
        # Requests are counted in Valkey as they would be, and none is refused; without one they are not counted.
        "ASSAY_RATE_LIMIT": "100000/second" if redis_url else "",
        **({"ASSAY_REDIS_URL": redis_url} if redis_url else {}),
        "ASSAY_API_PORT": str(port),
        "ASSAY_S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "ASSAY_S3_ACCESS_KEY_ID": "none",
        "ASSAY_S3_SECRET_ACCESS_KEY": "none",
        "ASSAY_LOG_LEVEL": "INFO",
    }
    server = subprocess.Popen([sys.executable, "-m", "api.main"], env=environment, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
                connection.request("GET", "/health/live")
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the API did not start")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", help="a scratch database, filled and kept; default: an embedded one")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--search-rate", type=float, default=50.0, help="searches a second; people make them")
    parser.add_argument("--seconds", type=float, default=20.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
