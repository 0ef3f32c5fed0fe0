"""How fast the API tells a verdict: 100,000 images with verdicts, 50 requests a second for random ones.

Fills a scratch database, serves the API with uvicorn as a process of its own,
and asks at a steady pace whether answers come or not (open loop). A latency
counts from the moment its request was due, so a stall is not hidden by the
requests that waited behind it. Prints one JSON object.

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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import quote

from sqlalchemy import text

from infra.embedded.stack import EmbeddedStack
from worker.store.api_keys import ApiKeys, Scope
from worker.store.migrate import upgrade
from worker.store.session import Database, connect

_CLIENTS = 32
_WARM_UP_REQUESTS = 200
_START_SECONDS = 60

_FILL = (
    """
    INSERT INTO bundle (version, name, role, location, card)
    VALUES ('bench', 'bench', 'registered', 'shipped:bench', '{}') ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO image (image_id, source, bucket, key, version, versioned, sha256, size_bytes, width, height)
    SELECT 'bench/' || n || ' ü.jpg', 'bench', 'bench', 'bench/' || n || ' ü.jpg', md5(n::text), false,
           repeat(md5(n::text), 2), 250000, 1600, 1200
    FROM generate_series(1, :images) AS n
    """,
    """
    INSERT INTO scan (image_pk, kind, queue, state, due_at, bundle_version, finished_at, timings)
    SELECT id, 'live', 'scan.live', 'completed', NULL, 'bench', now(), '{"fetch": 4.1, "decode": 22.5}'
    FROM image WHERE bucket = 'bench'
    """,
    """
    INSERT INTO verdict (image_pk, scan_id, verdict, decided_by, probability, lower_threshold, upper_threshold,
                         detectors, provenance, bundle_version, policy_version)
    SELECT scan.image_pk, scan.id, (ARRAY['ai_generated', 'uncertain', 'not_ai_generated'])[1 + scan.id % 3],
           'machine', (scan.id % 1000) / 1000.0, 0.2, 0.9,
           '{"clip": {"logit": 1.25, "probability": 0.777}, "convnext": {"logit": -0.5, "probability": 0.3775}}',
           '{"c2pa": null, "iptc": null, "generator": null}', 'bench', 1
    FROM scan JOIN image ON image.id = scan.image_pk WHERE image.bucket = 'bench'
    """,
    """
    INSERT INTO heatmap (verdict_id, detector, method, layer, bundle_version, key)
    SELECT verdict.id, detector, 'grad-cam', 'stages.3', 'bench', 'heatmaps/' || verdict.id || '.png'
    FROM verdict CROSS JOIN unnest(ARRAY['clip', 'convnext']) AS detector
    WHERE bundle_version = 'bench' AND verdict = 'ai_generated'
    """,
)


def main() -> None:
    """Fill, serve, ask, print."""
    arguments = _arguments()
    if arguments.database_url:
        _bench(arguments.database_url, arguments)
        return
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o711)  # as root, Postgres runs as another user
        with EmbeddedStack(Path(scratch), parts=["postgres"], fixed_ports={"postgres": 0}) as addresses:
            _bench(addresses.database_url, arguments)


def _bench(database_url: str, arguments: argparse.Namespace) -> None:
    database = connect(database_url)
    upgrade(database)
    images = _fill(database, arguments.images)
    key = ApiKeys(database).create("bench", [Scope.READ]).key
    with _served(database_url) as port:
        asker = _Asker(port, key, images)
        for _ in range(_WARM_UP_REQUESTS):
            asker.ask(time.perf_counter())
        asker.latencies.clear()
        print(json.dumps(_measure(asker, arguments.rate, arguments.seconds) | {"images": images}))
    database.engine.dispose()


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
    """Asks for random images over connections that stay open, one for each thread."""

    def __init__(self, port: int, key: str, images: int) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {key}"}
        self._images = images
        self._random = random.Random(20261121)  # noqa: S311 - which image is asked for is no secret.
        self._thread = threading.local()
        self.latencies: list[float] = []
        self.errors = 0

    def ask(self, due: float) -> None:
        """Ask for one image; count what is no verdict as an error."""
        image_id = f"bench/{self._random.randint(1, self._images)} ü.jpg"
        try:
            connection = self._connection()
            connection.request("GET", f"/v1/images/{quote(image_id, safe='')}", headers=self._headers)
            with connection.getresponse() as response:
                found = json.loads(response.read())
            if found["image_id"] != image_id or found["verdict"]["bundle_version"] != "bench":
                raise ValueError(found)
            self.latencies.append(time.perf_counter() - due)
        except (OSError, http.client.HTTPException, KeyError, TypeError, ValueError) as error:
            self._thread.connection = None
            self.errors += 1
            print(f"error: {error!r}", file=sys.stderr)

    def _connection(self) -> http.client.HTTPConnection:
        if getattr(self._thread, "connection", None) is None:
            self._thread.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        found: http.client.HTTPConnection = self._thread.connection
        return found


def _fill(database: Database, images: int) -> int:
    """Fill the database unless an earlier run did; return how many images it has for us."""
    with database.transaction() as session:
        there = session.scalar(text("SELECT count(*) FROM image WHERE bucket = 'bench'")) or 0
        if not there:
            print(f"filling {images} images", file=sys.stderr)
            for statement in _FILL:
                session.execute(text(statement), {"images": images} if ":images" in statement else {})
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    return int(there or images)


@contextmanager
def _served(database_url: str) -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
    # The object store is never asked here, so its address may lead nowhere.
    environment = {
        "ASSAY_DATABASE_URL": database_url,
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
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
