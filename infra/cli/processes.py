"""Runs one of Assay's processes in the foreground, for supervisors, containers and people."""

import sys

from infra.cli.environment import adopt, load_settings
from worker.log import configure_logging
from worker.settings import Settings


def worker() -> None:
    """Take scans from Celery: fetch, decode, detect, record."""
    # Torch's CPU threads otherwise spin while they wait, and on a machine with other work to do each of them takes
    # its time from the one it waits for: a batch was seen to take fifty times as long.
    adopt({"OMP_WAIT_POLICY": "PASSIVE"})
    from worker.detectors.quick_import import import_quickly  # torch takes seconds; only this command needs it

    import_quickly()
    from worker.processes.worker import run_worker

    run_worker(_settings())


def training_worker() -> None:
    """Take training runs: train, let the gate judge, register the bundle."""
    # It only watches; torch is loaded by the process that it starts for each run.
    adopt({"OMP_WAIT_POLICY": "PASSIVE"})
    from training.retraining.worker_process import run_training_worker

    run_training_worker(_settings())


def dispatcher() -> None:
    """Move due scans from Postgres to Celery and run the scheduled duties."""
    from worker.processes.dispatcher import run_dispatcher

    run_dispatcher(_settings())


def listener() -> None:
    """Turn bucket events from the SQS queue into scans."""
    from worker.processes.listener import run_listener

    run_listener(_settings())


def api() -> None:
    """Serve the HTTP API."""
    from api.main import main

    load_settings()
    main()


def flower() -> None:
    """Serve Flower, which watches Celery's queues, behind its password."""
    from infra.flower import run_flower

    run_flower(_settings())


def sweep() -> None:
    """List the upload buckets once and scan what events missed."""
    from worker.processes.wiring import build_database, build_sweep

    settings = _settings()
    count = build_sweep(settings, build_database(settings))()
    print(f"{count} images were new", file=sys.stderr)


def migrate() -> None:
    """Bring the database to the newest migration, and its roles' rights up to date."""
    from infra.cli.migrations import migrate_with_roles
    from worker.database.session import connect

    print(migrate_with_roles(connect(_settings().database_url.get_secret_value())), file=sys.stderr)


def _settings() -> Settings:
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    return settings
