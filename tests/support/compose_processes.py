"""Runs the services of docker-compose.yml as plain processes on the embedded parts, where no container engine is.

Commands, environments and health checks are the file's own. What differs
outside containers is declared in one map, :func:`substitutions`.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from infra.cli.init import write_secrets
from infra.embedded.addresses import StackAddresses
from infra.embedded.object_store_setup import QUEUE
from infra.embedded.ports import LOOPBACK, choose
from infra.embedded.private_files import write_private
from infra.embedded.process import Process
from infra.embedded.stack import EmbeddedStack
from tests.support.assay_up import ENGINE_CACHE, wait_until
from tests.support.compose_file import Service, read_services
from worker.database.outcomes import Outcome, outcomes
from worker.database.session import Database, connect
from worker.objects.clients import s3_client
from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

REPOSITORY = Path(__file__).parents[2]
# Those of Assay's own; the others are third parties' images, whose parts are embedded here.
OURS = ("setup", "api", "dispatcher", "listener", "worker", "flower")
# Each container has a network of its own; here the services share one, so each port is another.
_PORTS = {"api": "8080", "flower": "5555", "metrics": "9100"}
_HEALTH_SECONDS = 10.0


class ComposeProcesses(AbstractContextManager["ComposeProcesses"]):
    """The embedded parts, and over them the services as the compose file has them."""

    def __init__(self, folder: Path, secrets: Mapping[str, str] | None = None) -> None:
        """Keep what is needed; nothing is touched before the ``with``.

        Args:
            folder: empty; for data, logs and secrets.
            secrets: further files of the folder of secrets, such as ``assay_broker_url``.
        """
        self._folder = folder
        self._more_secrets = dict(secrets or {})
        self.secrets = folder / "secrets"
        self._stack = EmbeddedStack(folder / "data", fixed_ports={"postgres": 0, "valkey": 0, "object_store": 0})
        self.ports: dict[tuple[str, str], int] = {}
        self.addresses: StackAddresses
        self.services: dict[str, Service]
        self.database: Database
        self.s3: S3Client

    def __enter__(self) -> Self:
        """Start the parts, run `setup` to its end, then start every other service and wait until all are healthy."""
        (self._folder / "data").mkdir(parents=True)
        write_secrets(self.secrets)
        self._hand_passwords_to_the_parts()
        self.addresses = self._stack.start()
        try:
            self._move_in()
            self._run_setup()
            self._stack.supervisor.start(*(self._process(self.services[name]) for name in OURS if name != "setup"))
        except BaseException:
            self._stack.stop()
            raise
        self.database = connect((self.secrets / "assay_database_url").read_text(encoding="utf-8"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything."""
        self.database.engine.dispose()
        self._stack.stop()

    def url(self, service: str, door: str | None = None) -> str:
        """Return where a service of this run answers; ``metrics`` is the other door of most."""
        return f"http://{LOOPBACK}:{self.ports[service, door or service]}"

    def log(self, service: str) -> list[dict[str, object]]:
        """Return what a service has logged so far, line by line."""
        lines = self._stack.log_file(service).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_ended(self, key: str, seconds: float) -> Outcome:
        """Wait until the only scan of an object has ended, and return how."""
        found: list[Outcome] = []

        def ended() -> bool:
            with self.database.transaction() as session:
                found[:] = outcomes(session, self.addresses.upload_bucket, [key])
            return len(found) == 1 and bool(found[0].ended_at)

        wait_until(ended, seconds, f"the verdict of {key}")
        return found[0]

    def substitutions(self, service: str) -> dict[str, str]:
        """Return what is written otherwise outside containers: host names, folders, ports, the ARN of the events."""
        return {
            **self._hosts(),
            "arn:rustfs:sqs:us-east-1:assay:webhook": f"arn:aws:sqs:us-east-1:000000000000:{QUEUE}",
            "/run/secrets": str(self.secrets),
            "/tmp/assay": str(self._folder / "tmp"),  # noqa: S108 - the container's own, replaced here  # nosec B104, B108
            "0.0.0.0": LOOPBACK,  # noqa: S104 - likewise  # nosec B104, B108
            **{port: str(self._port(service, door)) for door, port in _PORTS.items()},
        }

    def substituted(self, text: str, service: str) -> str:
        """Apply the map to one argument, value or address."""
        if text in {"/data", "python"}:
            return {"/data": str(self._folder / "bundles"), "python": sys.executable}[text]
        for written, here in self.substitutions(service).items():
            text = text.replace(written, here)
        return text

    def environment(self, service: Service) -> dict[str, str]:
        """Return the whole environment of a service: the file's, and what its image sets."""
        given = {name: self.substituted(value, service.name) for name, value in service.environment.items()}
        image = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
        # Where an image has /run/secrets, a process here is given the folder.
        folders = {"ASSAY_SECRETS_DIR": str(self.secrets), "ASSAY_ENGINE_CACHE_DIR": str(ENGINE_CACHE)}
        # Where a container finds a secret under another name than here, it is given as a variable.
        renamed = [secret for secret in service.raw.get("secrets", ()) if isinstance(secret, dict)]
        read = {each["target"].upper(): (self.secrets / each["source"]).read_text("utf-8") for each in renamed}
        return {**image, "HOME": str(self._folder), **folders, **read, **given}

    def healthy(self, service: Service) -> bool:
        """Run the service's own health check."""
        command = [self.substituted(argument, service.name) for argument in service.health]
        environment = self.environment(service)
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_HEALTH_SECONDS, check=False)
        return done.returncode == 0

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end as `docker compose run NAME COMMAND` would."""
        environment = self.environment(self.services[name])
        arguments = [self.substituted(argument, name) for argument in command]
        return subprocess.run(
            arguments, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
        )

    def _hand_passwords_to_the_parts(self) -> None:
        names = {
            "postgres_password": "postgres_password",
            "valkey_password": "valkey_password",
            "s3_access_key": "assay_s3_access_key_id",
            "s3_secret_key": "assay_s3_secret_access_key",
        }
        credentials = {field: (self.secrets / file).read_text(encoding="utf-8") for field, file in names.items()}
        write_private(self._folder / "data" / "credentials.json", json.dumps(credentials))

    def _move_in(self) -> None:
        """Read the file with the queue of this stack, and write the host names of this machine into the secrets."""
        queue = {
            "ASSAY_SQS_QUEUE_URL": self.addresses.sqs_queue_url,
            "ASSAY_SQS_ENDPOINT_URL": self.addresses.s3_endpoint_url,
        }
        self.services = read_services(REPOSITORY / "docker-compose.yml", queue)
        by_role = (path.name for path in self.secrets.glob("database_url_*"))
        for name in ("assay_database_url", "assay_redis_url", *by_role):
            text = (self.secrets / name).read_text(encoding="utf-8")
            # Host names alone: a password may well hold the digits of a port.
            for written, here in self._hosts().items():
                text = text.replace(written, here)
            write_private(self.secrets / name, text)
        for name, text in self._more_secrets.items():
            write_private(self.secrets / name, text)
        settings = Settings.model_validate(
            {
                "s3_endpoint_url": self.addresses.s3_endpoint_url,
                "s3_access_key_id": self.addresses.s3_access_key,
                "s3_secret_access_key": self.addresses.s3_secret_key,
            }
        )
        self.s3 = s3_client(settings)

    def _run_setup(self) -> None:
        done = self.run("setup", *self.services["setup"].command)
        if done.returncode != 0:
            raise RuntimeError(f"setup failed: {done.stderr}")

    def _process(self, service: Service) -> Process:
        return Process(
            name=service.name,
            argv=tuple(self.substituted(argument, service.name) for argument in service.command),
            env=self.environment(service),
            log_file=self._stack.log_file(service.name),
            ready=lambda: self.healthy(service),
            ready_seconds=180.0,
            stop_seconds=20.0,
            cwd=REPOSITORY,
        )

    def _hosts(self) -> dict[str, str]:
        return {
            "postgres:5432": self.addresses.database_url.partition("@")[2].partition("/")[0],
            "valkey:6379": self.addresses.redis_url.partition("@")[2].partition("/")[0],
            "http://object-store:9000": self.addresses.s3_endpoint_url,
            "http://127.0.0.1:9000": self.addresses.s3_endpoint_url,
        }

    def _port(self, service: str, door: str) -> int:
        if (service, door) not in self.ports:
            self.ports[service, door] = choose([0], avoid=self.ports.values())
        return self.ports[service, door]
