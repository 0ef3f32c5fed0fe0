"""`assay chaos` counts right: nothing of a sound Assay, and the doubles of one whose leases fence nobody."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.assay_up import process_environment

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


# Workers that end scans whoever holds them by now, and a database that keeps every verdict of them. All scans but a
# worker's first are slow, so that a freeze finds some in its hands. No process of Assay's reads this but those that
# this test starts, and the object store's Python has no Assay.
WITHOUT_FENCE = """
import sys
import time
from itertools import count

if "chaos" in sys.orig_argv:
    from sqlalchemy import text

    from infra.chaos.local import LocalStack

    start = LocalStack.__enter__

    def start_without_rule(self):
        started = start(self)
        with started.deployment.database.transaction() as session:
            session.execute(text("DROP INDEX uq_verdict_machine"))
        return started

    LocalStack.__enter__ = start_without_rule

if "worker" in sys.orig_argv:
    from sqlalchemy import func, update

    from worker.database.scans import Scans
    from worker.database.tables import Scan
    from worker.scan.leases import Held

    complete, scans = Scans.complete, count()

    def complete_slowly(*arguments, **more):
        if next(scans):
            time.sleep(4)
        complete(*arguments, **more)

    def end(self, session, lease, state, **values):
        final = {"state": state, "due_at": None, "lease_token": None, "finished_at": func.now(), **values}
        session.execute(update(Scan).where(Scan.id == lease.scan_id).values(final))

    Scans.complete, Scans._end = complete_slowly, end
    Held.check = lambda self: None
"""


def strike(data_dir: Path, *faults: str, images: int = 6, **variables: str) -> tuple[int, dict[str, Any]]:
    only = [word for fault in faults for word in ("--only", fault)]
    command = [sys.executable, "-m", "infra.cli", "chaos", "--seed", "1", "--images", str(images), *only]
    environment = process_environment(data_dir, ASSAY_BUNDLE="cifake", **variables)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_events_that_come_twice_or_late_and_a_broker_without_memory_cost_nothing(tmp_path: Path) -> None:
    faults = ("flush broker", "duplicate events", "late events", "stale events", "overwrite", "delete")
    status, total = strike(tmp_path, *faults)
    assert (status, total["lost"], total["doubled"], total["dead"]) == (0, 0, 0, 0)
    assert total["faults"] == len(faults)
    assert total["images"] >= len(faults) * 8


@pytest.mark.slow
def test_chaos_finds_workers_whose_leases_fence_nobody(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_FENCE, encoding="utf-8")
    status, total = strike(tmp_path / "data", "freeze worker", images=16, PYTHONPATH=str(tmp_path))
    assert status == 1
    assert total["doubled"] > 0
