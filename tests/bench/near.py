"""How fast similar images are found among 1,000,000: random hashes, so every candidate but the copies is a false one.

Fills a scratch database, asks for the neighbours of random images one after the other, prints one JSON object.

    python tests/bench/near.py [--images 1000000]
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from statistics import quantiles

from sqlalchemy import text

from infra.embedded.stack import EmbeddedStack
from worker.database.duplicates import Duplicates
from worker.database.migrate import upgrade
from worker.database.session import Database, connect

_ASKED = 200
_CHUNK = 50_000
_FILL = """
INSERT INTO image (image_id, source, bucket, key, version, versioned, pdq, pdq_bands)
SELECT n::text, 'bench', 'bench', n::text, '1', false, hash,
       ARRAY(SELECT (band << 16) | substring(hash FROM band * 16 + 1 FOR 16)::bit(16)::int
             FROM generate_series(0, 15) AS band)
FROM (SELECT n, ('x' || md5('a' || n) || md5('b' || n))::bit(256) AS hash
      FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n) AS made
"""


def main() -> None:
    """Fill, ask, print; times in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o711)  # as root, Postgres runs as another user
        with EmbeddedStack(Path(scratch), parts=["postgres"], fixed_ports={"postgres": 0}) as addresses:
            database = connect(addresses.database_url)
            upgrade(database)
            _fill(database, images)
            print(json.dumps({"images": images, **_ask(database, images)}))


def _fill(database: Database, images: int) -> None:
    for first in range(1, images + 1, _CHUNK):
        with database.transaction() as session:
            session.execute(text(_FILL), {"first": first, "last": min(first + _CHUNK - 1, images)})
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE image"))


def _ask(database: Database, images: int) -> dict[str, float]:
    duplicates = Duplicates(database)
    choose = random.Random(0)  # noqa: S311 - which images are asked for
    times = []
    for number in range(_ASKED + 20):
        image_id = str(choose.randint(1, images))
        start = time.perf_counter()
        duplicates.near(image_id, most_distance=31, limit=50)
        if number >= 20:
            times.append(1000 * (time.perf_counter() - start))
    cuts = quantiles(times, n=100)
    return {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1), "p99": round(cuts[98], 1)}


if __name__ == "__main__":
    main()
