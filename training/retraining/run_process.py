"""The process of a training run: started by a worker that holds the run's lease, it wires the story and executes it.

`python -m training.retraining.run_process --run N --token T`. Its exit status tells the worker how it ended.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from training.retraining.order import data_sources, read_order
from training.retraining.progress import Progress
from training.retraining.retrain import Run, retrain
from worker.bundles.locate import locator
from worker.cores import cores
from worker.database.session import connect
from worker.database.tables import RunState
from worker.database.training_leases import RunLease, TrainingLeases
from worker.detectors.device import pick_device, set_threads
from worker.errors import AssayError, LeaseLostError, TransientError
from worker.log import configure_logging, get_logger
from worker.objects.object_store import object_store
from worker.objects.transfer import transfer
from worker.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from worker.database.session import Database
    from worker.database.tables import TrainingRun

log = get_logger()

NICENESS = 10
# As in sysexits.h: try again later.
TEMPORARY_FAILURE = 75
# The run is somebody else's now.
FENCED = 76


def execute(lease: RunLease, settings: Settings) -> int:
    """Execute the run of a lease; gives the exit status for the training worker, 0 when the run has ended."""
    database = connect(settings.database_url.get_secret_value(), pool_size=2)
    leases = TrainingLeases(database)
    try:
        row = leases.read(lease)
        log.info("training_started", run=row.id, recipe=row.recipe, parameters=row.parameters)
        _bring_to_its_end(build_run(row, lease, leases, database, settings), leases)
    except LeaseLostError as error:
        log.warning("training_fenced", error=error.detail)
        return FENCED
    except TransientError as error:
        log.warning("training_postponed", error=error.detail)
        return TEMPORARY_FAILURE
    finally:
        database.engine.dispose()
    return 0


def build_run(row: TrainingRun, lease: RunLease, leases: TrainingLeases, database: Database, settings: Settings) -> Run:
    """Give the story what it works with, of the settings."""
    order = read_order(row.recipe, row.parameters)
    folder = run_folder(settings, row.id)
    folder.mkdir(parents=True, exist_ok=True)
    return Run(
        order=order,
        lease=lease,
        facts={
            "run": row.id,
            "recipe": row.recipe,
            "parameters": row.parameters,
            "labels_until": order.labels_until or 0,
            "requested_by": row.requested_by,
        },
        folder=folder,
        sources=data_sources(settings),
        database=database,
        objects=object_store(settings),
        store=transfer(settings),
        bucket=settings.artifact_bucket,
        locate=locator(settings, database),
        device=pick_device(settings.device),
        progress=Progress(partial(leases.tell, lease), time.monotonic),
        shadow_share=settings.shadow_share if order.shadow_share is None else order.shadow_share,
    )


def _bring_to_its_end(run: Run, leases: TrainingLeases) -> None:
    """Retrain, or write down why the run cannot be; raises LeaseLostError or TransientError, which end no run."""
    try:
        outcome = retrain(run)
    except (LeaseLostError, TransientError):
        raise
    except (AssayError, ValueError) as error:
        log.warning("training_failed", error=str(error))
        leases.end(run.lease, RunState.FAILED, str(error))
    else:
        log.info("training_completed", run=run.lease.run_id, outcome=outcome)


def run_folder(settings: Settings, run_id: int) -> Path:
    """Name a run's own folder on this machine."""
    return settings.data_dir / "training" / f"run-{run_id}"


def end_with_parent() -> None:
    """End this process when whoever started it has gone: its end of our standard input closes then."""

    def wait() -> None:
        # Without Python's buffer: a thread that holds its lock while the interpreter ends makes it abort.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os._exit(TEMPORARY_FAILURE)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Read the command line and execute."""
    parser = argparse.ArgumentParser(prog="python -m training.retraining.run_process", description=__doc__)
    parser.add_argument("--run", type=int, required=True)
    parser.add_argument("--token", type=UUID, required=True)
    arguments = parser.parse_args()
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    end_with_parent()
    os.nice(NICENESS)
    set_threads(settings.training_threads or max(1, cores() - 1))
    sys.exit(execute(RunLease(arguments.run, arguments.token), settings))


if __name__ == "__main__":
    main()
