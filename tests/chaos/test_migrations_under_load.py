"""A schema that grows, is filled and shrinks again while workers scan: expand, migrate, contract."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.support.assay_up import AssayUp
from tests.support.load import assert_one_verdict_each, put_images, wait_some_done
from worker.database.invariants import check_invariants
from worker.database.migrate import upgrade

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

EXPAND = (
    "ALTER TABLE scan ADD COLUMN later text",
    "ALTER TABLE image ADD COLUMN later boolean NOT NULL DEFAULT false",
    "CREATE TABLE later (id bigint PRIMARY KEY, image_pk bigint REFERENCES image (id))",
)
# In portions: one statement over a whole table would hold its rows for as long.
MIGRATE = "UPDATE scan SET later = state WHERE id IN (SELECT id FROM scan WHERE later IS NULL LIMIT 20)"
CONTRACT = ("DROP TABLE later", "ALTER TABLE image DROP COLUMN later", "ALTER TABLE scan DROP COLUMN later")


def execute(assay: AssayUp, *statements: str) -> int:
    """Execute each statement in a transaction of its own; return how many rows the last one touched."""
    touched = 0
    for statement in statements:
        with assay.database.engine.begin() as connection:
            # Who waits for a lock makes everybody wait who comes later, so it gives up soon and tries again.
            connection.execute(text("SET LOCAL lock_timeout = '2s'"))
            touched = connection.execute(text(statement)).rowcount
    return touched


def test_scans_go_on_while_the_schema_expands_is_filled_and_contracts(assay: AssayUp) -> None:
    with ThreadPoolExecutor(1) as platform:
        putting = platform.submit(put_images, assay, 300, "migrated")
        keys = [f"migrated/{number:04d}.jpg" for number in range(300)]
        wait_some_done(assay, keys, 20)
        execute(assay, *EXPAND)
        upgrade(assay.database)  # as `assay setup` does at every start
        wait_some_done(assay, keys, 80)
        while execute(assay, MIGRATE):
            pass
        wait_some_done(assay, keys, 150)
        execute(assay, *CONTRACT)
        assert putting.result(240) == keys
    assert_one_verdict_each(assay, keys, 300)
    assert [one.invariant.name for one in check_invariants(assay.database) if one.violations] == []
