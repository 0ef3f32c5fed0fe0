"""A training worker keeps a run's lease alive while a process executes it, whatever becomes of either."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.integration.training.worker_bench import FOREVER, HALF_WAY, ME, Bench, waits
from tests.support.assay_up import wait_until
from training.fitting.checkpoints import Checkpoints
from training.retraining.training_worker import FENCED, TEMPORARY_FAILURE
from worker.database.tables import RunState
from worker.database.training_leases import RunLease

pytestmark = pytest.mark.integration


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


LACKS_A_PART = f"{HALF_WAY}raise SystemExit({TEMPORARY_FAILURE})"


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
