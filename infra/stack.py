"""The whole of Assay on one machine: the embedded parts, and Assay's own processes beside them."""

import json
import secrets
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sqlalchemy import make_url

from infra.cli.environment import adopt, child_environment
from infra.embedded.addresses import StackAddresses
from infra.embedded.ports import choose, holder_of
from infra.embedded.private_files import write_private
from infra.embedded.process import Process
from infra.embedded.stack import PARTS, EmbeddedStack
from worker.database import migrate
from worker.database.api_keys import ApiKeys, Scope
from worker.database.roles import Role, establish_roles, url_of
from worker.database.session import connect
from worker.settings import Settings

# Who signs in to the database as whom; others hold no data of it.
_ROLES = {
    "api": Role.API,
    "worker": Role.WORKER,
    "dispatcher": Role.DISPATCHER,
    "listener": Role.DISPATCHER,
    "training-worker": Role.TRAINING,
}
# Which setting replaces which embedded part.
_REPLACED_BY = {"postgres": "database_url", "valkey": "redis_url", "object_store": "s3_endpoint_url"}


@dataclass(frozen=True)
class Doors:
    """Where people and programs reach the running stack, and what opens it."""

    api_url: str
    flower_url: str
    flower_login: str
    api_key: str


class AssayStack(AbstractContextManager[Doors]):
    """Starts everything, waits until it serves, and stops it again."""

    def __init__(
        self,
        settings: Settings,
        report: Callable[[str], None],
        variables: Callable[[str], Mapping[str, str]] = lambda _name: {},
    ) -> None:
        """Keep what is needed; nothing is touched before the ``with``.

        Args:
            settings: parts whose address is set there are somebody else's and are not started.
            report: takes a line for people.
            variables: gives what one of Assay's processes, by its name, has in its environment beside all others.
        """
        parts = [part for part in PARTS if _REPLACED_BY[part] not in settings.model_fields_set]
        self._data_dir = settings.data_dir.absolute()
        self._owner_url = ""  # of the embedded database; empty where it is somebody else's, and so are its roles
        self._report = report
        self._variables = variables
        self.embedded = EmbeddedStack(self._data_dir, parts=parts, report=report)

    def __enter__(self) -> Doors:
        """Start; raises StackError with one line when a part cannot be brought up."""
        addresses = self.embedded.start()
        try:
            return self._start_processes(addresses)
        except BaseException:
            self.embedded.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything, the latest first."""
        self.embedded.stop()

    def run(self, on_ready: Callable[[Doors], None]) -> None:
        """Start, stay up until SIGINT, SIGTERM or SIGHUP, then stop; for the main thread only."""
        self.embedded.run(lambda addresses: on_ready(self._start_processes(addresses)))

    def _start_processes(self, addresses: StackAddresses) -> Doors:
        adopt(addresses.environment())
        login = _kept(self._data_dir / "flower_login", lambda: f"assay:{secrets.token_urlsafe(18)}")
        actor_key = _kept(self._data_dir / "actor_key", lambda: secrets.token_urlsafe(32))
        adopt({"ASSAY_FLOWER_BASIC_AUTH": login, "ASSAY_ACTOR_KEY": actor_key})
        settings = Settings()
        api_port = self._port("the API", settings.api_port, avoid=[])
        flower_port = self._port("Flower", settings.flower_port, avoid=[api_port])
        database = connect(settings.database_url.get_secret_value())
        migrate.upgrade(database)
        self._owner_url = addresses.database_url
        if self._owner_url:
            establish_roles(database)
        key = _local_key(self._data_dir / "api_key", ApiKeys(database))
        processes = self.processes(settings, api_port, flower_port)
        self.embedded.supervisor.start(*processes)
        write_private(self._data_dir / "metrics.json", metrics_targets(processes, api_port))
        write_private(self._data_dir / "api_key.header", f"X-API-Key: {key}\n")
        write_private(self._data_dir / "aws.env", aws_variables(addresses))
        doors = Doors(f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{flower_port}", login, key)
        write_private(self._data_dir / "doors.json", json.dumps(vars(doors), indent=2) + "\n")
        return doors

    def _port(self, part: str, preferred: int, *, avoid: Sequence[int]) -> int:
        """Return the port that is set for a part; another one, said aloud, where somebody else has that."""
        port = choose([preferred], avoid=avoid)
        if preferred and port != preferred:
            self._report(f"port {preferred} is taken by {holder_of(preferred)}; {part} is on {port}")
        return port

    def processes(self, settings: Settings, api_port: int, flower_port: int) -> list[Process]:
        """Return Assay's own processes; a listener only where there is a queue to listen to."""
        worker = self.worker(avoid=[api_port, flower_port])
        taken = [api_port, flower_port, int(worker.env["ASSAY_METRICS_PORT"])]
        return [
            worker,
            self._process("dispatcher", ASSAY_METRICS_PORT=str(choose([0], avoid=taken))),
            self._process("training-worker"),
            *([self._process("listener")] if settings.sqs_queue_url else []),
            self._process("api", _answers(f"http://127.0.0.1:{api_port}/health/live"), ASSAY_API_PORT=str(api_port)),
            self._process("flower", _listens(flower_port), ASSAY_FLOWER_PORT=str(flower_port)),
        ]

    def worker(self, number: int = 1, avoid: Sequence[int] = ()) -> Process:
        """Return a worker; one beside the first has its number in its name."""
        port = choose([0], avoid=avoid)
        name = "worker" if number == 1 else f"worker-{number}"
        return self._process("worker", _listens(port), 180.0, name=name, ASSAY_METRICS_PORT=str(port))

    def database_url(self, command: str) -> str:
        """Return the address by which a process reaches the embedded database, by its own role where it has one."""
        owner = make_url(self._owner_url)
        role = _ROLES.get(command)
        return (url_of(role, owner) if role else owner).render_as_string(hide_password=False)

    def _sign_in(self, command: str) -> dict[str, str]:
        return {"ASSAY_DATABASE_URL": self.database_url(command)} if self._owner_url else {}

    def _process(
        self,
        command: str,
        ready: Callable[[], bool] | None = None,
        ready_seconds: float = 60.0,
        name: str | None = None,
        **extra: str,
    ) -> Process:
        name = name or command
        variables = {**self._sign_in(command), **extra, **self._variables(name)}
        return Process(
            name=name,
            argv=(sys.executable, "-m", "infra.cli", command),
            env=child_environment(**variables),
            log_file=self.embedded.log_file(name),
            ready=ready,
            ready_seconds=ready_seconds,
            stop_seconds=20.0,
        )


def aws_variables(addresses: StackAddresses) -> str:
    """Return shell lines that point the AWS command line client at the embedded object store."""
    variables = {
        "AWS_ACCESS_KEY_ID": addresses.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": addresses.s3_secret_key,
        "AWS_DEFAULT_REGION": addresses.s3_region,
        "AWS_ENDPOINT_URL": addresses.s3_endpoint_url,
    }
    return "".join(f"export {name}={value}\n" for name, value in variables.items())


def metrics_targets(processes: Iterable[Process], api_port: int) -> str:
    """Return where each process tells its metrics, as a file that Prometheus' `file_sd_configs` reads."""
    ports = {process.name: process.env.get("ASSAY_METRICS_PORT") for process in processes} | {"api": str(api_port)}
    targets = [
        {"labels": {"job": name}, "targets": [f"127.0.0.1:{port}"]} for name, port in ports.items() if port is not None
    ]
    return json.dumps(targets, indent=2) + "\n"


def running_doors(data_dir: Path) -> Doors | None:
    """Return the doors of the latest start on this folder, running or not."""
    try:
        return Doors(**json.loads((data_dir / "doors.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _kept(path: Path, make: Callable[[], str]) -> str:
    """Return the secret kept in a file, making it the first time."""
    if not path.exists():
        write_private(path, make())
    return path.read_text(encoding="utf-8")


def _local_key(path: Path, keys: ApiKeys) -> str:
    """Return the kept admin key of this machine's own console and demo, or a new one if the database lacks it."""
    if not path.exists() or keys.verify(path.read_text(encoding="utf-8")) is None:
        write_private(path, keys.create("local", [Scope.ADMIN]).key)
    return path.read_text(encoding="utf-8")


def _listens(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    return ready


def _answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        with without_proxy().open(url, timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's own OK

    return ready


def without_proxy() -> urllib.request.OpenerDirector:
    """Return an HTTP client that leaves the user's proxy alone, which cannot know our loopback addresses."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
