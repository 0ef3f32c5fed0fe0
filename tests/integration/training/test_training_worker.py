"""A training worker keeps a run's lease alive while a process executes it, whatever becomes of either."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import text

from infra.testing import wait_until
from tests.conftest import Buckets
from training.fitting.checkpoints import Checkpoints
from training.retraining.training_worker import FENCED, TEMPORARY_FAILURE, TrainingWorker
from worker.database.audit import Actor
from worker.database.session import Database
from worker.database.tables import RunState, TrainingRun
from worker.database.training_leases import RunLease, TrainingLeases
from worker.database.training_runs import TrainingRuns

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

    def __init__(self, database: Database, buckets: Buckets, folder: Path) -> None:
        self.database, self.buckets, self.folder = database, buckets, folder
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
            checkpoints=lambda run_id, own: Checkpoints(self.buckets.s3, self.buckets.artifacts, run_id, own),
            lease_seconds=2.0,
            checkpoint_seconds=0.05,
            exit_seconds=1.0,
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
def bench(database: Database, object_store: Buckets, tmp_path: Path) -> Bench:
    return Bench(database, object_store, tmp_path)


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


def test_a_run_that_lacks_a_part_for_now_waits(bench: Bench, at_work: Callable[[], threading.Thread]) -> None:
    bench.scripts = [f"raise SystemExit({TEMPORARY_FAILURE})"]
    run_id = bench.queue()
    at_work()
    wait_until(lambda: bool(bench.taken) and bench.run(run_id).state == RunState.QUEUED, 20, "the run to wait")
    assert bench.run(run_id).expiries == 0


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
