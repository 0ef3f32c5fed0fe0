"""A database or an object store that is away costs a training run nothing."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.training.worker_bench import FOREVER, HALF_WAY, Bench, waits
from tests.support.assay_up import wait_until
from tests.support.outages import DatabaseOutage, StoreOutage
from training.retraining.training_worker import TEMPORARY_FAILURE
from worker.database.tables import RunState

pytestmark = pytest.mark.integration


def test_a_database_that_is_away_as_a_run_has_to_wait_costs_the_run_nothing(
    bench: Bench, at_work: Callable[[], threading.Thread], database_outage: DatabaseOutage, tmp_path: Path
) -> None:
    go, gone = tmp_path / "go", tmp_path / "gone"
    waiting = f"import time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)"
    bench.scripts = [f"{HALF_WAY}{waiting}\npathlib.Path({str(gone)!r}).touch()\nsys.exit({TEMPORARY_FAILURE})"]
    run_id = bench.queue()
    at_work()
    wait_until(lambda: "checkpoints.json" in bench.copied(run_id), 20, "a checkpoint in the bucket")
    database_outage.begin()
    go.touch()
    wait_until(gone.exists, 20, "the end of the process")
    database_outage.end()
    wait_until(lambda: waits(bench, run_id), 20, "the run to wait")
    assert bench.run(run_id).expiries == 0


def test_a_database_that_is_away_for_longer_than_the_lease_ends_the_process_and_costs_the_run_nothing(
    bench: Bench, at_work: Callable[[], threading.Thread], database_outage: DatabaseOutage, tmp_path: Path
) -> None:
    bench.scripts = [
        f"import os, pathlib\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n{FOREVER}"
    ]
    run_id = bench.queue()
    at_work()
    wait_until(lambda: "checkpoints.json" in bench.copied(run_id), 20, "a checkpoint in the bucket")
    process = Path("/proc") / (tmp_path / "pid").read_text()
    database_outage.begin()
    wait_until(lambda: not process.exists(), 30, "the end of the process")
    database_outage.end()
    wait_until(lambda: waits(bench, run_id), 20, "the run to wait")
    assert bench.run(run_id).expiries == 0
    copies = {"checkpoint.safetensors", "checkpoints.json"}
    wait_until(lambda: bench.copied(run_id) == copies, 20, "the last copies, which follow the row")


def test_a_store_that_is_away_when_a_run_is_taken_over_does_not_let_it_begin_anew(
    bench: Bench, at_work: Callable[[], threading.Thread], store_outage: StoreOutage
) -> None:
    bench.scripts = [FOREVER]
    run_id = bench.queue()
    store_outage.of = f"training-runs/{run_id}/checkpoints.json"
    at_work()
    wait_until(lambda: bool(store_outage.met) and bench.run(run_id).state == RunState.QUEUED, 20, "the run to wait")
    assert (bench.taken, bench.run(run_id).expiries) == ([], 0)


def test_copies_that_could_not_be_deleted_are_deleted_at_the_next_bell(bench: Bench, store_outage: StoreOutage) -> None:
    bench.scripts = [f"{HALF_WAY}sys.exit(3)"]
    run_id = bench.queue()
    store_outage.of = "versions"
    bench.worker()
    assert bench.run(run_id).state == RunState.FAILED
    assert store_outage.met
    assert "checkpoint.safetensors" in bench.copied(run_id)
    assert list((bench.folder / f"run-{run_id}").iterdir()) == []  # it holds no upload of anybody's
    store_outage.of = None
    bench.worker()
    assert bench.copied(run_id) == set()
    assert not (bench.folder / f"run-{run_id}").exists()
