"""`assay doctor`: looks at every part and says what to do about the ones that ail."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from infra.cli import doctor_audit, doctor_processes
from infra.cli.environment import load_settings, log_trouble_alone, misspelt_settings
from infra.embedded.addresses import read_running_stack
from infra.trust_lists import describe_lists, utc_now
from worker.database.bundles import champion
from worker.database.due_scans import backlog
from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.migrate import require_migrated
from worker.dispatch.celery_app import make_celery
from worker.dispatch.publish import Publisher
from worker.errors import AssayError
from worker.objects.object_store import object_store
from worker.settings import Settings

_OLDEST_IS_FINE_SECONDS = 300.0
_PROBE_KEY = "doctor/probe"


@dataclass(frozen=True)
class Finding:
    """What was found of one part."""

    part: str
    healthy: bool
    found: str
    advice: str = ""


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Look for violations of what must hold in the database instead.")
    ] = False,
) -> None:
    """Check every part; exit code 1 if one of them ails."""
    settings = load_settings()
    log_trouble_alone(settings)
    if audit:
        sys.exit(0 if doctor_audit.audit(settings, as_json=json_) else 1)
    console, healthy = Console(), True
    for finding in examine(settings):
        healthy = healthy and finding.healthy
        if json_:
            print(json.dumps(asdict(finding)))
        else:
            mark = "[green]✓[/]" if finding.healthy else "[red]✗[/]"
            console.print(f"{mark} {finding.part:<14} {escape(finding.found)}", soft_wrap=True)
            if finding.advice:
                console.print(f"  → {escape(finding.advice)}", soft_wrap=True, style="yellow")
    sys.exit(0 if healthy else 1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each part, in the order in which an image meets them."""
    for part, check, advice in (
        ("settings", _settings, "correct it; docs/settings.md lists every setting"),
        ("stack", _stack, "start it with `make up`, or set ASSAY_DATABASE_URL, ASSAY_REDIS_URL, ASSAY_S3_ENDPOINT_URL"),
        ("object store", _object_store, "check ASSAY_S3_ENDPOINT_URL, its keys and the bucket names"),
        (
            "listener",
            doctor_processes.listener,
            f"check ASSAY_SQS_QUEUE_URL and ASSAY_SQS_ENDPOINT_URL; {_runs(settings, 'listener')}",
        ),
        ("database", _database, "check ASSAY_DATABASE_URL; then run `assay migrate`"),
        ("dispatcher", doctor_processes.dispatcher, _runs(settings, "dispatcher")),
        ("broker", _broker, "check ASSAY_REDIS_URL or ASSAY_BROKER_URL, and that it runs"),
        ("worker", doctor_processes.worker, _runs(settings, "worker")),
        (
            "backlog",
            _backlog,
            f"start more workers, or read their logs, which `assay up` keeps in {settings.data_dir / 'logs'}",
        ),
        ("champion", _champion, "start a worker once: it registers the shipped bundle"),
        ("encoders", _encoders, "run `assay encoders fetch`, or set ASSAY_ENCODERS_DIR"),
        (
            "bundle",
            _bundle,
            "check ASSAY_BUNDLE, or reinstall Assay: the shipped weights are missing or damaged",
        ),
        ("trust lists", _trust_lists, "run `assay trust update`"),
        ("decoders", _decoders, "install Assay's requirements again; `apt-get install libseccomp2` adds seccomp"),
        ("API", doctor_processes.api, f"check ASSAY_API_HOST and ASSAY_API_PORT; {_runs(settings, 'api')}"),
        ("Flower", doctor_processes.flower, _runs(settings, "flower")),
    ):
        yield _examine_one(part, check, advice, settings)


def _runs(settings: Settings, process: str) -> str:
    log = settings.data_dir / "logs" / f"{process}.log"
    return f"see that `assay up` or `assay {process}` runs; `assay up` logs to {log}"


def _examine_one(part: str, check: Callable[[Settings], str], advice: str, settings: Settings) -> Finding:
    try:
        return Finding(part, healthy=True, found=check(settings))
    except AssayError as error:
        return Finding(part, healthy=False, found=error.detail, advice=advice)
    except Exception as error:  # noqa: BLE001 - a doctor reports whatever it meets.
        # The first line says enough, and long ones may repeat an address with its password.
        first = (str(error).splitlines() or [""])[0][:160]
        return Finding(part, healthy=False, found=f"{type(error).__name__}: {first}", advice=advice)


def _settings(settings: Settings) -> str:
    if slips := misspelt_settings():
        raise AssayError("; ".join(f"{name} is no setting; did you mean {meant}?" for name, meant in slips.items()))
    if find_spec("limits") is not None:
        from api.requests.pace import read_rate

        for rate in filter(None, (settings.rate_limit, settings.guess_rate_limit)):
            read_rate(rate)
    return "no name of a setting is misspelt"


def _stack(settings: Settings) -> str:
    if read_running_stack(settings.data_dir):
        return f"the embedded stack runs on {settings.data_dir}"
    if "database_url" in settings.model_fields_set:
        return "parts of your own, by ASSAY_* variables"
    raise AssayError("no embedded stack runs here, and no part of your own is set")


def _object_store(settings: Settings) -> str:
    store = object_store(settings)
    # First, for it says what is wrong: a name, a key, a certificate.
    store.put(settings.artifact_bucket, _PROBE_KEY, b"assay doctor", "text/plain")
    for bucket in settings.upload_buckets:
        if not store.reachable(bucket):
            raise AssayError(f"bucket {bucket} does not answer")
    return f"buckets {', '.join(settings.upload_buckets)} can be read, {settings.artifact_bucket} can be written"


def _database(settings: Settings) -> str:
    with doctor_processes.opened(settings) as database:
        require_migrated(database)
        with database.transaction() as session:
            version = session.connection().dialect.server_version_info or ()
    return f"PostgreSQL {'.'.join(map(str, version))}, at the newest migration"


def _broker(settings: Settings) -> str:
    bell = Publisher(make_celery(settings))
    lengths = {queue: bell.waiting(queue) for queue in (LIVE_QUEUE, BULK_QUEUE)}
    return ", ".join(f"{length} messages in {queue}" for queue, length in lengths.items())


def _backlog(settings: Settings) -> str:
    with doctor_processes.opened(settings) as database, database.transaction() as session:
        backlogs = {queue: backlog(session, queue) for queue in (LIVE_QUEUE, BULK_QUEUE)}
    counts = ", ".join(f"{count} open in {queue}, oldest {age:.0f} s" for queue, (count, age) in backlogs.items())
    if backlogs[LIVE_QUEUE][1] > _OLDEST_IS_FINE_SECONDS:
        raise AssayError(f"{counts}: scans wait too long")
    return counts


def _champion(settings: Settings) -> str:
    with doctor_processes.opened(settings) as database, database.transaction() as session:
        serving = champion(session)
    if serving is None:
        raise AssayError("no bundle is champion")
    return serving.version


def _trust_lists(settings: Settings) -> str:
    return "; ".join(describe_lists(settings.data_dir / "trust", utc_now()))


def _encoders(settings: Settings) -> str:
    if find_spec("torch") is None:
        return "not looked at here, where no torch is"
    from worker.bundles.encoders.folder import EncoderFolder
    from worker.bundles.encoders.table import ENCODERS
    from worker.bundles.encoders.travel import encoders_of
    from worker.bundles.plain_files import read_json
    from worker.bundles.release import of_release

    folder = EncoderFolder(settings.encoders_dir)
    bundles = [read_json(shipped / "bundle.json") for shipped, _ in of_release()]
    needed = encoders_of(part["architecture"] for bundle in bundles for part in bundle["detectors"].values())
    here = [encoder for encoder in ENCODERS if encoder.sha256 in needed or folder.find(encoder.sha256)]
    for encoder in here:
        folder.read(encoder.sha256)
    return f"{', '.join(encoder.name for encoder in here)} in {folder.root}"


def _bundle(settings: Settings) -> str:
    if find_spec("torch") is None:
        return "not looked at here, where no torch is; a worker loads its bundle before it takes a scan"
    from PIL import Image

    from worker.bundles.loaded import shipped_bundle
    from worker.bundles.opening import opening
    from worker.detectors.device import pick_device

    device = pick_device(settings.device)
    folder: Path = shipped_bundle(settings.bundle)
    bundle = opening(settings, device).open(folder)
    bundle.warm_up(1)
    bundle.score([bundle.prepare(Image.new("RGB", (64, 64), "grey"))])
    engines = ", ".join(f"{name} by {engine}" for name, engine in bundle.engines().items())
    return f"{bundle.version} loads and scores on {device}: {engines}"


def _decoders(settings: Settings) -> str:
    if find_spec("numpy") is None:
        return "not looked at here, where no worker is installed"
    from worker.processes.decoders import decoder_pool

    with closing(decoder_pool(settings)) as pool:
        holds = pool.holds()
    if "seccomp" not in holds and "namespaces" not in holds:
        raise AssayError(f"processes that decode images can reach the network; held by {', '.join(holds)} alone")
    return f"held by {', '.join(holds)}"
