"""A training worker over a real database and bucket, and what breaks them."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import Buckets
from training.fitting.checkpoints import Checkpoints
from training.retraining.training_worker import TrainingWorker
from worker.database.audit import Actor
from worker.database.session import Database
from worker.database.tables import RunState, TrainingRun
from worker.database.training_leases import RunLease, TrainingLeases
from worker.database.training_runs import TrainingRuns
from worker.objects.transfer import Transfer

ME = Actor("me")
# Runs until it is ended; leaves a mark once it is there, and a checkpoint as a detector's fit would.
FOREVER = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[1]) / "out" / "clip"
out.mkdir(parents=True, exist_ok=True)
(out / "checkpoint.safetensors").write_bytes(b"half way")
sys.stdin.read()
"""
HALF_WAY = """
import pathlib, sys
out = pathlib.Path(sys.argv[1]) / "out" / "clip"
out.mkdir(parents=True, exist_ok=True)
(out / "checkpoint.safetensors").write_bytes(b"half way")
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


def waits(bench: Bench, run_id: int) -> bool:
    return bool(bench.taken) and bench.run(run_id).state == RunState.QUEUED
