"""The whole of Assay on this machine with every connection through a proxy, and the hands to hurt it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from sqlalchemy import text

from infra.chaos.deployment import Deployment, DeploymentError
from infra.chaos.proxy import Proxies, Proxy, Trouble
from infra.embedded.addresses import StackAddresses
from infra.stack import AssayStack
from worker.bundles.release import shipped_bundle
from worker.database.bundles import SHIPPED, register_bundle
from worker.settings import Settings

# What can be killed; each comes back by its supervisor.
PARTS = ("worker", "worker-2", "dispatcher", "listener", "api", "postgres", "valkey", "object_store")
# Who talks to whom.
PAIRS = tuple(
    (process, part)
    for process, parts in {
        "worker": ("postgres", "valkey", "object_store"),
        "dispatcher": ("postgres", "valkey", "object_store"),
        "listener": ("postgres", "object_store"),
        "api": ("postgres", "valkey", "object_store"),
    }.items()
    for part in parts
)
_BACK_SECONDS = 120.0
_MORE_FILES = 60
_MORE_BYTES = 400_000_000


class LocalStack(AbstractContextManager["LocalStack"]):
    """Starts everything in an empty folder; its settings are those of this process' environment."""

    def __init__(self, settings: Settings, workers: int) -> None:
        """Keep what is needed.

        Args:
            settings: of an empty folder.
            workers: how many scan; the second is called `worker-2`.
        """
        self._proxies = Proxies()
        self._workers = workers
        self._stack = AssayStack(settings, lambda _line: None, self._addresses_by_proxies)
        self._running = ExitStack()
        self._before: Mapping[str, tuple[int, int, int]] = {}
        self.proxies: dict[tuple[str, str], Proxy] = {}
        self.deployment: Deployment

    def __enter__(self) -> Self:
        """Start, with a second worker and a bundle to promote."""
        doors = self._running.enter_context(self._stack)
        self._supervisor = self._stack.embedded.supervisor
        self._supervisor.start(*map(self._stack.worker, range(2, self._workers + 1)))
        self.deployment = Deployment(Settings(), doors.api_url, doors.api_key)
        for name in ("cifake", "wild"):
            described = json.loads((shipped_bundle(name) / "bundle.json").read_text(encoding="utf-8"))
            with self.deployment.database.transaction() as session:
                location = SHIPPED + name
                register_bundle(session, version=described["version"], name=name, location=location, card={})
        return self

    def __exit__(self, *raised: object) -> None:
        """Stop everything."""
        self.deployment.database.engine.dispose()
        self._running.close()

    def kill(self, *names: str) -> None:
        """Kill parts at the same moment, with no chance to tidy up."""
        self._signal(signal.SIGKILL, *names)

    def terminate(self, name: str) -> None:
        """Ask a part to end, as a deployment does that brings the next release."""
        self._signal(signal.SIGTERM, name)

    @contextmanager
    def freeze(self, *names: str) -> Iterator[None]:
        """Freeze parts for as long as the block lasts: they neither work nor end."""
        pids = [self._supervisor.pids()[name] for name in names]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                if Path(f"/proc/{pid}").exists():
                    os.kill(pid, signal.SIGCONT)

    @contextmanager
    def full_disk(self, name: str) -> Iterator[None]:
        """Let no process of a part write to any file for as long as the block lasts, as on a disk that is full."""
        self._let_write(name, may=False)
        try:
            yield
        finally:
            self._let_write(name, may=True)

    def _let_write(self, name: str, *, may: bool) -> None:
        limit = "unlimited:" if may else "0:"  # the soft limit alone
        for pid in _with_children(self._supervisor.pids()[name]):
            with suppress(FileNotFoundError):
                owner = Path(f"/proc/{pid}").stat()
                # Nobody but its own user may limit a process where root lacks that capability, as in containers.
                user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": ()} if os.geteuid() == 0 else {}
                command = ["prlimit", "--pid", str(pid), f"--fsize={limit}"]
                done = subprocess.run(command, **user, check=False, capture_output=True, text=True)  # type: ignore[call-overload]
                if done.returncode and Path(f"/proc/{pid}").exists():
                    raise DeploymentError(f"{name} cannot be limited: {done.stderr.strip()}")

    @contextmanager
    def trouble(self, trouble: Trouble, *pairs: tuple[str, str]) -> Iterator[None]:
        """Make trouble between processes and parts for as long as the block lasts."""
        for pair in pairs:
            self.proxies[pair].set(trouble)
        try:
            yield
        finally:
            for pair in pairs:
                self.proxies[pair].set(Trouble.NONE)

    def wait_back(self) -> None:
        """Wait until every part is up; raises DeploymentError when one stays away."""
        for name in PARTS if self._workers > 1 else [part for part in PARTS if part != "worker-2"]:
            if not self._supervisor.wait_ready(name, _BACK_SECONDS):
                raise DeploymentError(f"{name} did not come back within {_BACK_SECONDS:.0f} s")
        # What processes hold is compared with what they held after the first fault, when they had warmed up.
        self._before = self._before or self._resources()

    def leaks(self) -> list[str]:
        """Say what processes hold that they did not hold before, and which processes nobody owns."""
        now, leaks = self._resources(), []
        for name, (files, resident, connections) in now.items():
            first_files, first_resident, first_connections = self._before.get(name, (files, resident, connections))
            if files > first_files + _MORE_FILES:
                leaks.append(f"{name}: {files} open files, {first_files} before")
            if resident > first_resident + _MORE_BYTES:
                leaks.append(f"{name}: {resident >> 20} MB, {first_resident >> 20} MB before")
            if connections > first_connections + _MORE_FILES:
                leaks.append(f"{name}: {connections} connections, {first_connections} before")
        orphans = [pid for pid in _decoders() if _parent(pid) not in self._supervisor.pids().values()]
        return [*leaks, *(f"decoder {pid} has no worker" for pid in orphans if _parent(pid) == 1)]

    def _resources(self) -> dict[str, tuple[int, int, int]]:
        held = {}
        for name, pid in self._supervisor.pids().items():
            if name in {"worker", "worker-2", "dispatcher", "listener", "api"}:
                resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                held[name] = (len(list(Path(f"/proc/{pid}/fd").iterdir())), resident, 0)
        with self.deployment.database.transaction() as session:
            query = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'assay'")
            held["postgres"] = (0, 0, session.scalar(query) or 0)
        return held

    def _signal(self, number: signal.Signals, *names: str) -> None:
        pids = self._supervisor.pids()
        for name in names:
            os.kill(pids[name], number)

    def _addresses_by_proxies(self, process: str) -> dict[str, str]:
        """Return the addresses that a process is given: a proxy of its own for each part."""
        addresses = self._stack.embedded.addresses
        return {
            "ASSAY_DATABASE_URL": self._by_proxy(
                process, "postgres", self._stack.database_url(process.removesuffix("-2"))
            ),
            "ASSAY_REDIS_URL": self._by_proxy(process, "valkey", addresses.redis_url),
            **self._store_by_proxy(process, addresses),
        }

    def _store_by_proxy(self, process: str, addresses: StackAddresses) -> dict[str, str]:
        store = self._by_proxy(process, "object_store", addresses.s3_endpoint_url)
        return {"ASSAY_S3_ENDPOINT_URL": store, "ASSAY_SQS_ENDPOINT_URL": store}

    def _by_proxy(self, process: str, part: str, url: str) -> str:
        host, port = urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 0
        proxy = self.proxies.setdefault((process, part), self._proxies.open(host, port))
        return url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")


def _with_children(pid: int) -> set[int]:
    try:
        tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return {pid}
    return {pid}.union(*(_with_children(int(child)) for task in tasks for child in task.split()))


def _decoders() -> list[int]:
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"worker.decoders.child" in words and words.startswith(os.fsencode(sys.executable)):
            pids.append(int(folder.name))
    return pids


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
