"""A training worker keeps a run's lease alive while a process executes it, whatever becomes of either."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from tests.conftest import Buckets, Databases
from tests.support.assay_up import wait_until
from tests.support.outages import DatabaseOutage, StoreOutage
from training.fitting.checkpoints import Checkpoints
from training.retraining.training_worker import FENCED, TEMPORARY_FAILURE, TrainingWorker
from worker.database.audit import Actor
from worker.database.session import Database
from worker.database.tables import RunState, TrainingRun
from worker.database.training_leases import RunLease, TrainingLeases
from worker.database.training_runs import TrainingRuns
from worker.objects.transfer import Transfer, transfer
from worker.settings import Settings

pytestmark = pytest.mark.integration

ME = Actor("me")
# Runs until it is ended; leaves a mark once it is there, and a checkpoint as a detector's fit would.
FOREVER = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[1]) / "out" / "clip"
out.mkdir(parents=True, exist_ok=True)
(out / "checkpoint.safetensors").write_bytes(b"half way")
sys.stdin.read()
"""


class Bench:
    """A training worker over a real database and bucket, that executes a script for each run."""

    def __init__(self, database: Database, buckets: Buckets, store: Transfer, folder: Path) -> None:
        self.database, self.buckets, self.store, self.folder = database, buckets, store, folder
        self.leases, self.runs = TrainingLeases(database), TrainingRuns(database)
        self.scripts: list[str] = []
        self.taken: list[RunLease] = []
        self.worker = self.another(folder)

    def another(self, folder: Path) -> TrainingWorker:
        """A worker on a machine of its own."""

        def command(lease: RunLease) -> Sequence[str]:
            self.taken.append(lease)
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            return [sys.executable, "-c", script, str(folder / f"run-{lease.run_id}")]

        return TrainingWorker(
            self.leases,
            command=command,
            root=folder,
            checkpoints=lambda run_id, own: Checkpoints(self.store, self.buckets.artifacts, run_id, own),
            lease_seconds=2.0,
            checkpoint_seconds=0.05,
            exit_seconds=1.0,
            pause_seconds=60.0,
        )

    def queue(self) -> int:
        return self.runs.queue(ME, "tiny", {}).id

    def run(self, run_id: int) -> TrainingRun:
        found = self.runs.get(run_id)
        assert found is not None
        return found

    def copied(self, run_id: int) -> set[str]:
        listed = self.buckets.s3.list_objects_v2(Bucket=self.buckets.artifacts, Prefix=f"training-runs/{run_id}/")
        return {found["Key"].rpartition("/")[2] for found in listed.get("Contents", [])}


@pytest.fixture
def store_outage() -> Iterator[StoreOutage]:
    with StoreOutage().installed() as outage:
        yield outage


@pytest.fixture
def bench(
    database: Database, object_store: Buckets, stack_settings: Settings, store_outage: StoreOutage, tmp_path: Path
) -> Bench:
    assert store_outage.of is None
    return Bench(database, object_store, transfer(stack_settings), tmp_path)


@pytest.fixture
def database_outage(databases: Databases, database_url: str) -> Iterator[DatabaseOutage]:
    outage = DatabaseOutage(databases.admin, str(make_url(database_url).database))
    yield outage
    outage.end()


@pytest.fixture
def at_work(bench: Bench) -> Iterator[Callable[[], threading.Thread]]:
    """Let the worker hear the bell in a thread; it is stopped at the end."""
    threads: list[threading.Thread] = []

    def start() -> threading.Thread:
        threads.append(threading.Thread(target=bench.worker))
        threads[-1].start()
        return threads[-1]

    yield start
    bench.worker.stop()
    for thread in threads:
        thread.join()


def test_a_cancelled_run_ends_within_seconds(bench: Bench, at_work: Callable[[], threading.Thread]) -> None:
    bench.scripts = [FOREVER]
    run_id = bench.queue()
    thread = at_work()
    wait_until(lambda: "checkpoints.json" in bench.copied(run_id), 20, "a checkpoint in the bucket")
    assert bench.run(run_id).state == RunState.RUNNING
    bench.runs.cancel(ME, run_id)
    wait_until(lambda: bench.run(run_id).state == RunState.CANCELLED, 10, "the end of the run")
    thread.join()
    assert bench.copied(run_id) == set()
    assert not (bench.folder / f"run-{run_id}").exists()


def test_a_worker_that_is_stopped_gives_its_run_back_and_another_machine_goes_on(
    bench: Bench, at_work: Callable[[], threading.Thread], tmp_path: Path
) -> None:
    bench.scripts = [FOREVER]
    run_id = bench.queue()
    thread = at_work()
    wait_until(lambda: "checkpoints.json" in bench.copied(run_id), 20, "a checkpoint in the bucket")
    bench.worker.stop()
    thread.join()
    assert (bench.run(run_id).state, bench.run(run_id).expiries) == (RunState.QUEUED, 0)
    elsewhere = tmp_path / "elsewhere"
    read = "(pathlib.Path(sys.argv[1]) / 'out/clip/checkpoint.safetensors').read_text()"
    bench.scripts = [f"import pathlib, sys\nprint({read})\nsys.exit(3)"]
    bench.another(elsewhere)()
    assert bench.run(run_id).detail == "the run ended with status 3: half way"


def test_a_run_whose_process_is_killed_is_resumed_and_fails_when_it_happens_again_and_again(bench: Bench) -> None:
    bench.scripts = ["import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    run_id = bench.queue()
    bench.worker()
    run = bench.run(run_id)
    assert (run.state, run.expiries, len(bench.taken)) == (RunState.FAILED, 3, 3)


def test_a_process_that_crashes_fails_the_run_with_its_last_line(bench: Bench) -> None:
    bench.scripts = ["1 / 0"]
    run_id = bench.queue()
    bench.worker()
    detail = "the run ended with status 1: ZeroDivisionError: division by zero"
    assert (bench.run(run_id).state, bench.run(run_id).detail) == (RunState.FAILED, detail)


HALF_WAY = """
import pathlib, sys
out = pathlib.Path(sys.argv[1]) / "out" / "clip"
out.mkdir(parents=True, exist_ok=True)
(out / "checkpoint.safetensors").write_bytes(b"half way")
"""
LACKS_A_PART = f"{HALF_WAY}raise SystemExit({TEMPORARY_FAILURE})"


def waits(bench: Bench, run_id: int) -> bool:
    return bool(bench.taken) and bench.run(run_id).state == RunState.QUEUED


def test_a_run_that_lacks_a_part_for_now_waits_and_keeps_what_it_has(
    bench: Bench, at_work: Callable[[], threading.Thread]
) -> None:
    bench.scripts = [LACKS_A_PART]
    run_id = bench.queue()
    at_work()
    wait_until(lambda: waits(bench, run_id), 20, "the run to wait")
    assert bench.run(run_id).expiries == 0
    assert (bench.folder / f"run-{run_id}" / "out" / "clip" / "checkpoint.safetensors").exists()
    copies = {"checkpoint.safetensors", "checkpoints.json"}
    wait_until(lambda: bench.copied(run_id) == copies, 20, "the last copies, which follow the row")


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


def test_a_worker_that_lost_its_lease_ends_its_process_and_touches_nothing(
    bench: Bench, at_work: Callable[[], threading.Thread]
) -> None:
    bench.scripts = [FOREVER]
    run_id = bench.queue()
    thread = at_work()
    wait_until(lambda: "checkpoints.json" in bench.copied(run_id), 20, "a checkpoint in the bucket")
    with bench.database.transaction() as session:
        taken = "UPDATE training_run SET lease_token = gen_random_uuid(), lease_until = now() + interval '1 hour'"
        session.execute(text(taken))
    thread.join(20)
    assert not thread.is_alive()
    assert bench.run(run_id).state == RunState.RUNNING
    assert "checkpoint.safetensors" in bench.copied(run_id)


def test_what_a_run_left_that_ended_without_its_worker_is_deleted_at_the_next_bell(
    bench: Bench, at_work: Callable[[], threading.Thread]
) -> None:
    """People's uploads are in the folder."""
    bench.scripts = [FOREVER]
    run_id = bench.queue()
    thread = at_work()
    wait_until(lambda: "checkpoints.json" in bench.copied(run_id), 20, "a checkpoint in the bucket")
    bench.worker.stop()
    thread.join()
    bench.another(bench.folder).clear()  # it waits for another worker: all of it is needed
    assert (bench.folder / f"run-{run_id}").exists()
    bench.runs.cancel(ME, run_id)
    bench.another(bench.folder)()
    assert bench.copied(run_id) == set()
    assert not (bench.folder / f"run-{run_id}").exists()


def test_the_lease_is_kept_while_checkpoints_come_from_far_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(_: Checkpoints) -> int:
        with bench.database.transaction() as session:
            passed = "UPDATE training_run SET lease_until = now() - interval '1 second'"
            session.execute(text(passed))
        wait_until(lambda: bench.leases.waiting() == 0, 10, "a heartbeat")
        return 0

    monkeypatch.setattr(Checkpoints, "bring", slowly)
    bench.scripts = ["1 / 0"]
    run_id = bench.queue()
    bench.worker()
    assert (bench.run(run_id).state, bench.run(run_id).expiries) == (RunState.FAILED, 0)
    assert (bench.run(run_id).detail or "").endswith("ZeroDivisionError: division by zero")


def test_a_run_that_is_cancelled_as_it_ends_is_cancelled(bench: Bench) -> None:
    bench.scripts = [f"raise SystemExit({FENCED})"]
    run_id = bench.queue()
    lease_of = bench.leases.claim

    def claim(seconds: float) -> RunLease | None:
        lease = lease_of(seconds)
        if lease is not None:
            bench.runs.cancel(ME, run_id)
        return lease

    bench.leases.claim = claim  # type: ignore[method-assign]
    bench.worker()
    assert bench.run(run_id).state == RunState.CANCELLED
    assert not (bench.folder / f"run-{run_id}").exists()
