"""The embedded stack as a whole: a data folder in, addresses out."""

import json
import os
import signal
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol

from infra.embedded import object_store, ports, postgres, valkey
from infra.embedded.addresses import LOCK_FILE, StackAddresses, write_addresses
from infra.embedded.credentials import Credentials, load_or_create
from infra.embedded.data_lock import DataLock
from infra.embedded.errors import StackError, from_os_error
from infra.embedded.install import ministack_python
from infra.embedded.object_store import ObjectStore
from infra.embedded.postgres import Postgres
from infra.embedded.process import Process
from infra.embedded.supervisor import Supervisor, say_nothing
from infra.embedded.valkey import Valkey

DEFAULT_PORTS = {
    "postgres": postgres.DEFAULT_PORT,
    "valkey": valkey.DEFAULT_PORT,
    "object_store": object_store.DEFAULT_PORT,
}
PARTS = tuple(DEFAULT_PORTS)
_STARTS = 3  # tries, each on other ports, while somebody takes those we chose


class Part(Protocol):
    """A service that Assay needs."""

    def process(self) -> Process:
        """Prepare its folder and describe its process."""

    def addresses(self) -> dict[str, str]:
        """Give the fields of `StackAddresses` that it fills."""


class EmbeddedStack:
    """Postgres, Valkey and an object store on 127.0.0.1, with their data in one folder."""

    def __init__(
        self,
        data_dir: Path,
        *,
        parts: Collection[str] = PARTS,
        fixed_ports: Mapping[str, int] | None = None,
        ministack_interpreter: Path | None = None,
        report: Callable[[str], None] = say_nothing,
    ) -> None:
        """Keep what is needed; nothing is touched before `start`.

        Args:
            data_dir: Where data, logs and credentials are kept (`.assay`).
            parts: Which of `PARTS` to run; the others are somebody else's.
            fixed_ports: Ports by part that must be had or the start fails; 0 asks for any free
                one. A part that is not named takes the port it had before, its usual one, or
                any that is free.
            ministack_interpreter: The Python that runs ministack, if not the one of `make setup`.
            report: Takes a line for people when a part dies and is started again.
        """
        self._data_dir = data_dir.absolute()
        self._parts = tuple(part for part in PARTS if part in parts)
        self._fixed_ports = dict(fixed_ports or {})
        self._ministack_interpreter = ministack_interpreter
        self._lock = DataLock(self._data_dir / LOCK_FILE)
        self._report = report
        self._supervisor: Supervisor | None = None
        self._addresses: StackAddresses | None = None

    @property
    def addresses(self) -> StackAddresses:
        """Where the running parts can be reached."""
        if self._addresses is None:
            raise StackError("the stack is not running")
        return self._addresses

    @property
    def supervisor(self) -> Supervisor:
        """Runs the parts; start further processes on it, they are stopped before the parts."""
        if self._supervisor is None:
            raise StackError("the stack is not running")
        return self._supervisor

    def log_file(self, name: str) -> Path:
        """Where the output of a process of this name belongs."""
        return self._data_dir / "logs" / f"{name}.log"

    def start(self) -> StackAddresses:
        """Start all parts side by side and wait until they serve.

        Returns:
            Where they can be reached.

        Raises:
            StackError: With one line that says what is wrong; everything is stopped by then.
        """
        if self._supervisor is not None:
            raise StackError("the stack is already running")
        try:
            self._open_data_dir()
            self._lock.acquire()
            try:
                return self._start_locked()
            except BaseException:
                self.stop()
                raise
        except OSError as error:
            raise from_os_error(error, "start of the stack") from error

    def stop(self) -> None:
        """Stop what was started, the latest first; harmless when nothing runs."""
        supervisor, self._supervisor, self._addresses = self._supervisor, None, None
        if supervisor is not None:
            supervisor.stop()
        self._lock.release()

    def run(self, on_ready: Callable[[StackAddresses], None]) -> None:
        """Start, stay up until SIGINT, SIGTERM or SIGHUP, then stop; for the main thread only.

        Args:
            on_ready: Called once the parts serve; may start further processes on `supervisor`.

        Raises:
            StackError: If the stack cannot start, or a process gave up; everything is stopped by then.
        """
        ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, signal.default_int_handler) for number in ends}
        try:
            on_ready(self.start())
            self.supervisor.wait()
        except KeyboardInterrupt:
            self._report("stopping")
        finally:
            for number in ends:  # a second one does not cut the stop short, which is bounded anyhow
                signal.signal(number, signal.SIG_IGN)
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def __enter__(self) -> StackAddresses:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def _open_data_dir(self) -> None:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        # As root, Postgres' user has to pass through; every file with a secret is of mode 0600.
        self._data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
        (self._data_dir / "logs").mkdir(mode=0o700, exist_ok=True)

    def _start_locked(self) -> StackAddresses:
        credentials = self._credentials()
        for starts_left in range(_STARTS - 1, -1, -1):
            chosen = self._choose_ports()
            try:
                return self._start_parts(chosen, credentials)
            except StackError:
                # All is stopped: a port that is taken now went to somebody else since we chose it.
                if not starts_left or all(map(ports.is_free, chosen.values())):
                    raise
        raise AssertionError

    def _start_parts(self, chosen: Mapping[str, int], credentials: Credentials) -> StackAddresses:
        parts = [self._part(name, chosen[name], credentials) for name in self._parts]
        processes = [part.process() for part in parts]
        self._supervisor = Supervisor((self._lock.descriptor,), self._report)
        self._supervisor.start(*processes)
        fields = {name: value for part in parts for name, value in part.addresses().items()}
        self._addresses = StackAddresses(**fields)
        write_addresses(self._data_dir, self._addresses)
        return self._addresses

    def _credentials(self) -> Credentials:
        path = self._data_dir / "credentials.json"
        if not path.exists() and (self._data_dir / "postgres" / "cluster").exists():
            raise StackError(
                f"{self._data_dir} has data but no credentials.json; restore that file, "
                "or remove the folder to start afresh",
            )
        return load_or_create(path)

    def _choose_ports(self) -> dict[str, int]:
        """Choose a port for each part, and remember it for the next start."""
        memory = self._data_dir / "ports.json"
        before = json.loads(memory.read_text(encoding="ascii")) if memory.exists() else {}
        chosen: dict[str, int] = {}
        for part in self._parts:
            fixed = self._fixed_ports.get(part)
            if fixed and not ports.is_free(fixed):
                raise StackError(
                    f"port {fixed} for {part} is taken by {ports.holder_of(fixed)}; "
                    "stop that process or choose another port",
                )
            preferred = [fixed] if fixed is not None else [before.get(part, 0), DEFAULT_PORTS[part]]
            chosen[part] = ports.choose(preferred, avoid=chosen.values())
        memory.write_text(json.dumps({**before, **chosen}), encoding="ascii")
        return chosen

    def _part(self, name: str, port: int, credentials: Credentials) -> Part:
        folder, log_file = self._data_dir / name, self.log_file(name)
        if name == "postgres":
            return Postgres(folder, log_file, port, credentials.postgres_password)
        if name == "valkey":
            return Valkey(folder, log_file, port, credentials.valkey_password)
        interpreter = self._ministack_interpreter or ministack_python()
        return ObjectStore(folder, log_file, port, credentials, interpreter)
