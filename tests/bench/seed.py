"""Fills a scratch database as a platform would in months: by default 1,000,000 images with two verdicts each.

Sources are of very different sizes, most images are probably not AI-generated,
and verdicts lie 90 days apart from first to last. Every image has the verdicts
of two policy versions; those that are called AI-generated have heatmaps.
Does nothing where an earlier run has filled the database.

    python tests/bench/seed.py --database-url postgresql+psycopg://assay@127.0.0.1:5432/scratch [--images 1000000]
"""

import argparse
import sys

from sqlalchemy import text

from worker.database.migrate import upgrade
from worker.database.session import Database, connect

SOURCES = 40
# A transaction locks each content it adds (labels reach all images of the same bytes), and Postgres has room for some
# six thousand locks.
_CHUNK = 5_000

_ONCE = (
    """
    INSERT INTO bundle (version, name, role, location, card)
    VALUES ('bench', 'bench', 'registered', 'shipped:bench', '{}') ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO policy (prior_shift, false_positive_budget, miss_budget, by_source, created_by)
    SELECT 0, 0.01, 0.05, '{}', 'bench' WHERE (SELECT count(*) FROM policy) < 2
    """,
)
# Images :first to :last. The source's number falls off like the cube of an even one: the first holds a third of all.
_EACH = (
    """
    INSERT INTO image (image_id, source, bucket, key, version, versioned, sha256, size_bytes, width, height,
                       stored_at, created_at)
    SELECT 'bench/' || n || ' ü.jpg', 'bench/' || floor(power(hash / 65536.0, 3) * CAST(:sources AS int)), 'bench',
           'bench/' || n || ' ü.jpg', md5(n::text), false, repeat(md5(n::text), 2), 250000, 1600, 1200, at, at
    FROM (SELECT n, (hashint4(n) & 65535) AS hash,
                 now() - interval '90 days' * (1 - n / (CAST(:images AS int) + 1.0)) AS at
          FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n) AS made
    """,
    """
    INSERT INTO scan (image_pk, kind, queue, state, due_at, bundle_version, finished_at, timings)
    SELECT id, 'live', 'scan.live', 'completed', NULL, 'bench', created_at, '{"fetch": 4.1, "decode": 22.5}'
    FROM image WHERE id > :below
    """,
    """
    INSERT INTO verdict (image_pk, scan_id, verdict, decided_by, probability, lower_threshold, upper_threshold,
                         detectors, provenance, bundle_version, policy_version, source, created_at)
    SELECT image_pk, id,
           CASE WHEN p > 0.9 THEN 'ai_generated' WHEN p < 0.2 THEN 'not_ai_generated' ELSE 'uncertain' END,
           'machine', p, 0.2, 0.9,
           '{"clip": {"logit": 1.25, "probability": 0.777}, "convnext": {"logit": -0.5, "probability": 0.3775}}',
           '{"c2pa": null, "iptc": null, "generator": null}', 'bench', policy_version, source,
           created_at + interval '1 hour' * (policy_version - 1)
    FROM (SELECT scan.id, image_pk, source, image.created_at, policy_version,
                 power((hashint8(scan.id * 7 + policy_version) & 1048575) / 1048576.0, 2.5) AS p
          FROM scan JOIN image ON image.id = scan.image_pk CROSS JOIN generate_series(1, 2) AS policy_version
          WHERE image.id > :below) AS scored
    """,
    """
    INSERT INTO heatmap (verdict_id, detector, method, layer, bundle_version, key)
    SELECT verdict.id, detector, 'grad-cam', 'stages.3', 'bench', 'heatmaps/' || verdict.id || '.png'
    FROM verdict CROSS JOIN unnest(ARRAY['clip', 'convnext']) AS detector
    WHERE image_pk > :below AND bundle_version = 'bench' AND verdict = 'ai_generated'
    """,
)


def seed(database: Database, images: int) -> int:
    """Fill the database unless an earlier run did; return how many images it has for us."""
    with database.transaction() as session:
        there = session.scalar(text("SELECT count(*) FROM image WHERE bucket = 'bench'")) or 0
    prepare(database)
    if not there:
        fill(database, 1, images, images)
    return int(there or images)


def prepare(database: Database) -> None:
    """Add the bundle and the policies that verdicts are of, unless they are there."""
    with database.transaction() as session:
        for statement in _ONCE:
            session.execute(text(statement))


def fill(database: Database, begin: int, end: int, images: int) -> None:
    """Add images number `begin` to `end` of so many, with what belongs to them."""
    analyzed = begin - 1
    for first in range(begin, end + 1, _CHUNK):
        if first > 2 * analyzed:  # plans that were made for few rows, of triggers too, take minutes for many
            _vacuum(database)
            analyzed = first
        _chunk(database, first, min(first + _CHUNK - 1, end), images)
        print(f"\r{min(first + _CHUNK - 1, end)} of {images} images", end="", file=sys.stderr)
    print(file=sys.stderr)
    _vacuum(database)


def _vacuum(database: Database) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _chunk(database: Database, first: int, last: int, images: int) -> None:
    with database.transaction() as session:
        below = session.scalar(text("SELECT coalesce(max(id), 0) FROM image"))
        known = {"first": first, "last": last, "images": images, "sources": SOURCES, "below": below}
        for statement in _EACH:
            named = {name: value for name, value in known.items() if f":{name}" in statement}
            session.execute(text(statement), named)


def main() -> None:
    """Fill the database that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True, help="a scratch database")
    parser.add_argument("--images", type=int, default=1_000_000)
    arguments = parser.parse_args()
    database = connect(arguments.database_url)
    upgrade(database)
    print(f"{seed(database, arguments.images)} images")
    database.engine.dispose()


if __name__ == "__main__":
    main()
