"""The embedded Postgres: made with initdb at its first start, on TCP with a password, no Unix socket."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg import sql

from infra.embedded.data_lock import is_alive
from infra.embedded.errors import StackError, from_os_error
from infra.embedded.ports import LOOPBACK
from infra.embedded.postgres_home import PostgresHome, settle
from infra.embedded.private_files import write_private
from infra.embedded.process import Process, last_line

ROLE = "assay"
DATABASE = "assay"
DEFAULT_PORT = 15432
_ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_LEFTOVER_SECONDS = 10.0


class Postgres:
    """One cluster in one folder."""

    def __init__(self, folder: Path, log_file: Path, port: int, password: str) -> None:
        """Keep what is needed; nothing is touched before `process`.

        Args:
            folder: Where its data lies.
            log_file: Where its output goes.
            port: Where it listens on the loopback address.
            password: Of the role `assay`.
        """
        self._folder = folder
        self._log_file = log_file
        self._port = port
        self._password = password

    def addresses(self) -> dict[str, str]:
        """Give the database as SQLAlchemy names it."""
        place = f"{LOOPBACK}:{self._port}/{DATABASE}"
        return {"database_url": f"postgresql+psycopg://{ROLE}:{self._password}@{place}"}

    def process(self) -> Process:
        """Describe the server process; settles where binaries and data lie.

        Raises:
            StackError: If the binaries are missing or a folder cannot be made.
        """
        try:
            home = settle(self._folder)
        except OSError as error:
            raise from_os_error(error, "preparation of postgres") from error
        settings = {
            "port": str(self._port),
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "max_connections": "200",
            "cluster_name": "assay",
            # After a kill, one sync of the file system and not one of each of a thousand files.
            "recovery_init_sync_method": "syncfs",
        }
        options = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        return Process(
            name="postgres",
            argv=(str(home.binaries / "postgres"), "-D", str(home.cluster), *options),
            env=_ENV,
            log_file=self._log_file,
            before_start=lambda: self._prepare(home),
            ready=lambda: self._answers(home),
            after_ready=self._make_database,
            account=home.account,
            cwd=Path("/"),
            # "Fast shutdown": SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
            stop_seconds=20.0,
        )

    def _prepare(self, home: PostgresHome) -> None:
        if (home.cluster / "PG_VERSION").exists():
            self._clear_leftover(home)
        else:
            self._initialise(home)

    def _initialise(self, home: PostgresHome) -> None:
        """Make the cluster beside its place and move it there whole, so that half of one is never found."""
        draft = home.folder / "cluster.new"
        password_file = home.folder / "password"
        if draft.exists():
            shutil.rmtree(draft)
        argv = (
            *(str(home.binaries / "initdb"), "-D", str(draft), "-U", ROLE, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"),
            *("--data-checksums", "--no-instructions"),
        )
        account = home.account
        try:
            write_private(password_file, self._password + "\n", account.pair if account else None)
            with self._log_file.open("ab") as log:
                subprocess.run(
                    argv,
                    check=True,
                    env=_ENV,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=120,
                    user=account.uid if account else None,
                    group=account.gid if account else None,
                    extra_groups=() if account else None,
                )
            draft.rename(home.cluster)
        except OSError as error:
            raise from_os_error(error, "initdb") from error
        except subprocess.SubprocessError as error:
            reason = last_line(self._log_file, "FATAL:", "error:")  # behind it come lines about what is cleared away
            raise StackError(f"initdb failed: {reason}; see {self._log_file}") from error
        finally:
            password_file.unlink(missing_ok=True)

    def _clear_leftover(self, home: PostgresHome) -> None:
        """Remove a stale postmaster.pid, and stop the server it names if that is ours.

        Nobody else can be at work here, for we hold the data folder's lock. Postgres itself only
        clears the file when no process has that id, and in a container ids come back quickly.
        """
        pid_file = home.cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            pid_file.unlink(missing_ok=True)
            return
        if str(home.cluster).encode() in argv:
            _end(pid)
        pid_file.unlink(missing_ok=True)

    def _answers(self, home: PostgresHome) -> bool:
        # As pg_ctl does: the last line says how far it is, and asking by connection would fill the log.
        status = (home.cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()[7:8]
        if [line.strip() for line in status] != ["ready"]:
            return False
        with self._connect("postgres") as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)

    def _make_database(self) -> None:
        with self._connect("postgres") as connection:
            row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if row is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        try:
            return psycopg.connect(
                host=LOOPBACK,
                port=self._port,
                user=ROLE,
                password=self._password,
                dbname=database,
                connect_timeout=2,
                autocommit=True,
            )
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"postgres does not take the password in credentials.json; restore that file, "
                    f"or remove {self._folder.parent} to start afresh",
                ) from error
            raise


def _end(pid: int) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + _LEFTOVER_SECONDS
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
