"""How long a reviewer waits at the desk with 1,000,000 images in the queue.

Fills a scratch database, serves the API with uvicorn as a process of its own, opens the desk and clears images one
after the other, as the desk's script does: a decision, then a claim of what comes next. A browser has the next picture
before its key is pressed, so the sum is an upper bound of the time from key to next picture; the picture's own bytes,
which the browser has loaded before, are not counted. Prints one JSON object, times in milliseconds.

    python tests/bench/review.py [--images 1000000] [--decisions 200]
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
from api_latency import serve_api
from sqlalchemy import text

from infra.embedded.stack import EmbeddedStack
from worker.database.api_keys import ApiKeys, Scope
from worker.database.migrate import upgrade
from worker.database.session import Database, connect

_CHUNK = 20_000
_SOURCES = 40
_BUNDLE = """
INSERT INTO bundle (version, name, role, location, card)
VALUES ('bench', 'bench', 'registered', 'shipped:bench', '{}') ON CONFLICT DO NOTHING
"""
_FILL = """
WITH made AS (
  INSERT INTO image (image_id, source, bucket, key, version, versioned, size_bytes, width, height)
  SELECT 'bench/' || n || '.jpg', 'bench/' || n % CAST(:sources AS int), 'bench', n::text, '1', false,
         250000, 1600, 1200
  FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n RETURNING id, source
)
INSERT INTO verdict (image_pk, verdict, decided_by, probability, lower_threshold, upper_threshold,
                     detectors, provenance, bundle_version, policy_version, source)
SELECT id, 'uncertain', 'machine', 0.2 + 0.6 * (hashint8(id) & 1048575) / 1048576.0, 0.2, 0.8,
       '{"clip": {"logit": 0.25, "probability": 0.56}}', '{}', 'bench', 1, source FROM made
"""
_FORM = {"X-Requested-With": "assay"}


def main() -> None:
    """Fill, serve, review, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--decisions", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        parts = ["postgres", "valkey"]
        Path(scratch).chmod(0o711)  # as root, Postgres runs as another user
        with EmbeddedStack(Path(scratch), parts=parts, fixed_ports=dict.fromkeys(parts, 0)) as addresses:
            database = connect(addresses.database_url)
            upgrade(database)
            _fill(database, arguments.images)
            with serve_api(addresses.database_url, addresses.redis_url) as port:
                figures = _review(database, f"http://127.0.0.1:{port}", arguments.decisions)
            database.engine.dispose()
    print(json.dumps({"images": arguments.images, **figures}))


def _fill(database: Database, images: int) -> None:
    with database.transaction() as session:
        session.execute(text(_BUNDLE))
    for first in range(1, images + 1, _CHUNK):
        last = min(first + _CHUNK - 1, images)
        with database.transaction() as session:
            session.execute(text(_FILL), {"first": first, "last": last, "sources": _SOURCES})
        print(f"\r{last} of {images} images", end="", file=sys.stderr)
    print(file=sys.stderr)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _review(database: Database, address: str, decisions: int) -> dict[str, Any]:
    key = ApiKeys(database).create("bench", [Scope.READ, Scope.REVIEW]).key
    headers = {"Origin": address}
    with httpx.Client(base_url=address, headers=headers, timeout=60) as desk:
        desk.post("/console/sign-in", data={"key": key})
        opening = time.perf_counter()
        page = desk.get("/console/review").text
        opened = 1000 * (time.perf_counter() - opening)
        (csrf,) = set(re.findall(r'data-csrf="([0-9a-f]+)"', page))

        def post(path: str, **fields: Any) -> Any:
            answer = desk.post(f"/console/review/{path}", data={"csrf": csrf, **fields}, headers=_FORM)
            answer.raise_for_status()
            return answer.json()

        return {"desk_opened_ms": round(opened, 1), **_clear(post, decisions)}


def _clear(post: Callable[..., Any], decisions: int) -> dict[str, Any]:
    beginning = time.perf_counter()
    items = post("next")["items"]
    first = 1000 * (time.perf_counter() - beginning)
    decided, claimed = [], []
    for number in range(decisions):
        act = "ai_generated" if number % 2 else "not_ai_generated"
        item = items.pop(0)
        before = time.perf_counter()
        post("decide", image_pk=item["image_pk"], image_id=item["image_id"], act=act, reason="bench")
        between = time.perf_counter()
        items += post("next", known=[one["image_pk"] for one in items])["items"]
        decided.append(1000 * (between - before))
        claimed.append(1000 * (time.perf_counter() - between))
    both = [sum(pair) for pair in zip(decided, claimed, strict=True)]
    figures = {"decide": decided, "next": claimed, "key_to_next": both}
    return {"first_item_ms": round(first, 1), "decisions": decisions, **{k: _cuts(v) for k, v in figures.items()}}


def _cuts(times: list[float]) -> dict[str, float]:
    cuts = quantiles(times, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49], 1), "p95_ms": round(cuts[94], 1), "max_ms": round(max(times), 1)}


if __name__ == "__main__":
    main()
