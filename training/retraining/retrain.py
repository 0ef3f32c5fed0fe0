"""THE STORY of a training run: from the lease on its row to a registered challenger.

Runs as a process of its own, `python -m training.retraining.retrain --run N --token T`, started by a worker that holds
the lease. It may be killed at any moment: everything is in the run's folder, and whoever holds the lease next goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from training.export.card import code_version
from training.recipe import RecipeError
from training.retraining.data import agreed, gather, recipe_of
from training.retraining.gate import Origin
from training.retraining.gate_run import compare, left_for_gate, origins_of, terms_of
from training.retraining.keep import register, run_prefix, upload_papers, write_papers
from training.retraining.progress import Progress
from training.retraining.refit import refit
from training.retraining.refit_data import bring_replay, joined, keep_for_replay, replayed, stored
from training.train import Order, train
from worker.bundles.copies import REPLAY, BundleCopies
from worker.bundles.folder import read_bundle, write_bundle
from worker.bundles.loaded import load_bundle, shipped_bundle
from worker.cores import cores
from worker.database.bundles import SHIPPED, champion
from worker.database.session import connect
from worker.database.tables import Bundle, Policy, RunState
from worker.database.training_leases import RunLease, TrainingLeases
from worker.detectors.device import pick_device, set_threads
from worker.errors import AssayError, LeaseLostError, TransientError
from worker.log import configure_logging, get_logger
from worker.objects.transfer import transfer
from worker.settings import Settings

if TYPE_CHECKING:
    from training.retraining.gate import Terms
    from worker.database.session import Database
    from worker.database.tables import TrainingRun

log = get_logger()

REFIT = "refit"
NICENESS = 10
# As in sysexits.h: try again later.
TEMPORARY_FAILURE = 75
# The run is somebody else's now.
FENCED = 76


class NoBundleError(AssayError):
    """There is no such bundle to train against; start a worker once, or name one that is registered."""


@dataclass(frozen=True)
class Work:
    """What a run is executed with.

    Attributes:
        run: its row as it was claimed.
        lease: on the row.
        folder: its own, on this machine.
        device: a torch device.
    """

    run: TrainingRun
    lease: RunLease
    folder: Path
    database: Database
    settings: Settings
    device: str
    progress: Progress

    @property
    def parameters(self) -> dict[str, Any]:
        """Give what was asked for."""
        return self.run.parameters


def retrain(work: Work) -> str:
    """Execute a run from data to challenger; gives what became of it, in words."""
    settings, parameters = work.settings, work.parameters
    serving = _champion(work.database)
    if work.run.recipe == REFIT:
        return _refit(work, serving)
    recipe = recipe_of(work.run.recipe, parameters, settings)
    work.progress.detectors = tuple(part.name for part in recipe.detectors)
    work.progress.stage("data")
    data = gather(recipe, parameters, work.folder, work.database, settings)
    since = int(serving.card.get("training", {}).get("labels_until", 0))
    facts = _facts(work, serving, len(data.labelled))
    recipe = replace(data.recipe, card={**recipe.card, "training": facts})
    base = parameters.get("base_bundle")
    start_from = bundle_folder(work.database, settings, base) if base else None
    out = work.folder / "out"
    work.progress.stage("fit", labels=len(data.labelled))
    told = work.progress.fitting
    train(Order(recipe, data.folder, out, work.device, told=told, start_from=start_from, named=f"run {work.run.id}"))
    work.progress.stage("gate")
    rows = left_for_gate(data, out)
    origins = origins_of(rows, data, since)
    earlier = sum(image.newest_id <= since for image in data.labelled)
    report, evaluation = compare(
        bundle_folder(work.database, settings, serving.version),
        out / "bundle",
        rows,
        origins,
        terms=_terms(work.database),
        device=work.device,
        earlier=earlier,
    )
    work.progress.stage("keep")
    version = str(report["challenger"])
    papers = write_papers(work.folder, recipe, report, evaluation, {**facts, "bundle": version})
    own = rows.take(origins == Origin.KNOWN)
    keep_for_replay(load_bundle(out / "bundle", work.device), own, papers / REPLAY)
    store, bucket = transfer(settings), settings.artifact_bucket
    upload_papers(store, papers, out, bucket, run_prefix(version))
    return register(work.database, work.lease, store, out / "bundle", bucket, report, _share(work))


def _refit(work: Work, serving: Bundle) -> str:
    """Execute a run that fits head, fusion and calibration on stored features: seconds, without pixels."""
    settings, out = work.settings, work.folder / "out"
    version = work.parameters.get("base_bundle") or serving.version
    if version != serving.version:
        raise RecipeError(f"a refit starts from the champion, {serving.version}: its features are what scans store")
    store, bucket = transfer(settings), settings.artifact_bucket
    work.progress.stage("data")
    folder = bundle_folder(work.database, settings, version)
    base = read_bundle(folder)
    since = int(serving.card.get("training", {}).get("labels_until", 0))
    alike = (version, *base.card.get("same_features_as", ()))
    with work.database.transaction() as session:
        labels = stored(session, agreed(session, work.parameters, settings), alike, tuple(base.detectors), since)
    bring_replay(store, bucket, run_prefix(version), folder, work.folder / REPLAY)
    replay = replayed(work.folder / REPLAY, alike)
    seen = joined(labels, replay)
    facts = _facts(work, serving, int((seen.origins != Origin.KNOWN).sum()))
    work.progress.stage("fit", images=len(seen))
    made = refit(base, seen, _terms(work.database), {"training": facts})
    work.progress.stage("keep")
    new = write_bundle(made.parts, out / "bundle")
    papers = write_papers(work.folder, made.plan, made.gate, made.evaluation, {**facts, "bundle": new})
    if replay is not None:  # its features are the base's, and so are those of the new bundle
        (papers / REPLAY).write_bytes((work.folder / REPLAY).read_bytes())
    upload_papers(store, papers, out, bucket, run_prefix(new))
    return register(work.database, work.lease, store, out / "bundle", bucket, made.gate, _share(work))


def _champion(database: Database) -> Bundle:
    with database.transaction() as session:
        serving = champion(session)
    if serving is None:
        raise NoBundleError("there is no champion to compare with; start a worker once, or promote a bundle")
    return serving


def bundle_folder(database: Database, settings: Settings, version: str) -> Path:
    """Find a registered bundle on this machine, or fetch it.

    Raises:
        NoBundleError: none of this version is registered.
    """
    with database.transaction() as session:
        row = session.get(Bundle, version)
    if row is None:
        raise NoBundleError(f"there is no bundle {version}; name one that `assay bundles list` shows")
    if row.location.startswith(SHIPPED):
        return shipped_bundle(row.location.removeprefix(SHIPPED))
    root = settings.data_dir / "bundles"
    copies = BundleCopies(transfer(settings), settings.artifact_bucket, root, lambda f: read_bundle(f).digest())
    return copies.folder(version, row.location, row.card.get("content_sha256"))


def _terms(database: Database) -> Terms:
    with database.transaction() as session:
        policy = session.scalars(select(Policy).order_by(Policy.version.desc()).limit(1)).one()
        return terms_of(vars(policy))


def _facts(work: Work, serving: Bundle, labels: int | None) -> dict[str, Any]:
    """Say on the card how the bundle came about."""
    return {
        "run": work.run.id,
        "recipe": work.run.recipe,
        "parameters": work.parameters,
        "labels": labels,
        "labels_until": work.parameters.get("labels_until", 0),
        "champion": serving.version,
        "requested_by": work.run.requested_by,
        "code_version": code_version(),
    }


def _share(work: Work) -> float:
    return float(work.parameters.get("shadow_share", work.settings.shadow_share))


def run_folder(settings: Settings, run_id: int) -> Path:
    """Name a run's own folder on this machine."""
    return settings.data_dir / "training" / f"run-{run_id}"


def execute(lease: RunLease, settings: Settings) -> int:
    """Execute the run of a lease; gives the exit status for the training worker, 0 when the run has ended."""
    database = connect(settings.database_url.get_secret_value(), pool_size=2)
    leases = TrainingLeases(database)
    try:
        run = leases.read(lease)
        folder = run_folder(settings, lease.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        progress = Progress(partial(leases.tell, lease), time.monotonic)
        log.info("training_started", run=run.id, recipe=run.recipe, parameters=run.parameters)
        _bring_to_its_end(Work(run, lease, folder, database, settings, pick_device(settings.device), progress), leases)
    except LeaseLostError as error:
        log.warning("training_fenced", error=error.detail)
        return FENCED
    except TransientError as error:
        log.warning("training_postponed", error=error.detail)
        return TEMPORARY_FAILURE
    finally:
        database.engine.dispose()
    return 0


def _bring_to_its_end(work: Work, leases: TrainingLeases) -> None:
    """Retrain, or write down why the run cannot be; raises LeaseLostError or TransientError, which end no run."""
    try:
        outcome = retrain(work)
    except (LeaseLostError, TransientError):
        raise
    except (AssayError, ValueError) as error:
        log.warning("training_failed", error=str(error))
        leases.end(work.lease, RunState.FAILED, str(error))
    else:
        log.info("training_completed", run=work.run.id, outcome=outcome)


def end_with_parent() -> None:
    """End this process when whoever started it has gone: its end of our standard input closes then."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(TEMPORARY_FAILURE)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Read the command line and execute."""
    parser = argparse.ArgumentParser(prog="python -m training.retraining.retrain", description=__doc__)
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
