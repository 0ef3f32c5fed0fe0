"""Runs the whole of Assay as a user does, for acceptance tests, chaos tests and the benchmark.

Nothing here knows how Assay works inside: it starts `assay up`, puts objects
with a plain S3 client, asks the API and reads the outcome from Postgres.
"""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import select

from infra.embedded.addresses import StackAddresses, read_running_stack
from infra.stack import Doors, running_doors
from worker.database.outcomes import Outcome, outcomes
from worker.database.session import Database, DatabaseDownError, connect
from worker.database.tables import Worker
from worker.objects.clients import s3_client
from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

# One for all: to export a bundle and to choose its engines takes a minute, and many tests start a worker.
ENGINE_CACHE = Path(__file__).resolve().parents[2] / ".pytest_cache" / "engine"
_START_SECONDS = 180.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.1
# What the command lines of the embedded parts show.
_PART_MARKS = {"postgres": b"/bin/postgres\0", "valkey": b"valkey-server", "object_store": b"object_store_server.py\0"}


class AssayUp(AbstractContextManager["AssayUp"]):
    """A running Assay on a data folder of its own."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        """Keep what is needed.

        Args:
            data_dir: an empty folder, or one that an earlier run left.
            variables: ``ASSAY_…`` settings of this run; those of the caller's own environment do not count.
        """
        self.data_dir = data_dir
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None
        self.doors: Doors
        self.settings: Settings
        self.addresses: StackAddresses
        self.database: Database
        self.s3: S3Client

    def __enter__(self) -> Self:
        """Start `assay up` and wait until it serves."""
        # Any free ports: two stacks that start at once would both take the usual ones.
        ports = {"ASSAY_API_PORT": "0", "ASSAY_FLOWER_PORT": "0"}
        environment = process_environment(self.data_dir, **{**ports, **self._variables})
        self.data_dir.mkdir(parents=True, exist_ok=True)
        (self.data_dir / "doors.json").unlink(missing_ok=True)
        with (self.data_dir / "up.log").open("ab") as log:
            command = [sys.executable, "-m", "infra.cli", "up"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(self._serves, _START_SECONDS, "assay up to serve")
        except BaseException:
            self.end(signal.SIGTERM)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it as Ctrl-C would."""
        if hasattr(self, "database"):
            self.database.engine.dispose()
        self.end(signal.SIGINT)

    def end(self, number: signal.Signals) -> int:
        """Send a signal to `assay up`, wait for its end and return its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(_STOP_SECONDS)

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
        """Put an object as a platform does."""
        self.s3.put_object(Bucket=self.addresses.upload_bucket, Key=key, Body=data, Metadata=dict(metadata or {}))

    def outcomes(self, keys: Collection[str]) -> dict[str, list[Outcome]]:
        """Return what is known of these keys, a list for each, one entry a version."""
        found: dict[str, list[Outcome]] = defaultdict(list)
        with self.database.transaction() as session:
            for outcome in outcomes(session, self.addresses.upload_bucket, list(keys)):
                found[outcome.key].append(outcome)
        return dict(found)

    def wait_ended(self, keys: Collection[str], seconds: float) -> dict[str, Outcome]:
        """Wait until each key has one scan that has ended, and return how."""

        def ended() -> bool:
            try:
                known = self.outcomes(keys)
            except DatabaseDownError:  # a test has killed it; it comes back
                return False
            return len(known) == len(set(keys)) and all(o.ended_at for versions in known.values() for o in versions)

        wait_until(ended, seconds, f"{len(set(keys))} scans to end")
        return {key: versions[0] for key, versions in self.outcomes(keys).items()}

    def wait_loaded(self, version: str, seconds: float) -> None:
        """Wait until every worker has loaded a bundle; until then live images go on with the champion before it."""

        def loaded() -> bool:
            with self.database.transaction() as session:
                workers = session.scalars(select(Worker.bundles)).all()
            return bool(workers) and all(version in bundles for bundles in workers)

        wait_until(loaded, seconds, f"workers to load {version}")

    def pid(self, process: str) -> int:
        """Return the process id of one of Assay's processes, such as ``worker``, or of an embedded part."""
        assert self._process is not None
        mark = _PART_MARKS.get(process, f"-m\0infra.cli\0{process}\0".encode())
        for pid in children(self._process.pid):
            if mark in command_line(pid):
                return pid
        raise ProcessLookupError(f"no {process} runs")

    def pids(self) -> set[int]:
        """Return the process ids of the whole stack: `assay up` and everything below it."""
        assert self._process is not None
        return descendants(self._process.pid) | {self._process.pid}

    def _serves(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"assay up ended: {(self.data_dir / 'up.log').read_text()[-2000:]}")
        doors, addresses = running_doors(self.data_dir), read_running_stack(self.data_dir)
        if doors is None or addresses is None:
            return False
        self.doors, self.addresses = doors, addresses
        self.settings = settings_of(addresses)
        self.database = connect(addresses.database_url)
        self.s3 = s3_client(self.settings)
        return True


def settings_of(addresses: StackAddresses) -> Settings:
    """Return the settings of a process beside the embedded parts."""
    fields = {name.removeprefix("ASSAY_").lower(): value for name, value in addresses.environment().items()}
    return Settings.model_validate({**fields, "upload_buckets": (addresses.upload_bucket,)})


def process_environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """Return the environment of an `assay` command on a data folder; the caller's own settings do not count."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "AWS_"))}
    folders = {"ASSAY_DATA_DIR": str(data_dir), "ASSAY_ENGINE_CACHE_DIR": str(ENGINE_CACHE)}
    return {**inherited, **folders, **variables}


def in_ci() -> bool:
    """Tell whether a machine runs the tests for everybody: there, what is missing is a failure."""
    return bool(os.environ.get("CI"))


def children(pid: int) -> set[int]:
    """Return the ids of a process' direct children; none if it is gone."""
    try:
        return {
            int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()
        }
    except OSError:
        return set()


def descendants(pid: int) -> set[int]:
    """Return the ids of everything below a process."""
    below = children(pid)
    return below.union(*map(descendants, below))


def command_line(pid: int) -> bytes:
    """Return the arguments of a process as the kernel shows them; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until a condition holds, and leave four fifths of the time to those who bring it about.

    Raises:
        TimeoutError: it did not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        if now > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(max(_POLL_SECONDS, 4 * (now - began)))
