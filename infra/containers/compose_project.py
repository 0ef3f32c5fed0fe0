"""A running compose project: brought up, looked into, hurt and taken down."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.chaos.deployment import Deployment
from infra.cli.environment import child_environment
from infra.cli.init import write_secrets
from infra.containers.engine import Engine, EngineError
from worker.settings import Settings

REPOSITORY = Path(__file__).parents[2]
OVERRIDE = Path(__file__).with_name("stand_ins.override.yml")
API, STORE = "http://127.0.0.1:8080", "http://127.0.0.1:9000"
# All that stays up but Grafana, which nothing stands in for.
LASTING = ("postgres", "valkey", "object-store", "api", "dispatcher", "worker", "flower", "prometheus")
_ALERTS = ("alertmanager", "alert-sink")
_PORTS = {"postgres": 25432, "valkey": 26379}
_UP_SECONDS = 420.0
_POLL_SECONDS = 1.0
_LABELS = ("project=assay-test", "oneoff=False")


class ComposeProject(AbstractContextManager["ComposeProject"]):
    """docker-compose.yml with its stand-ins, in a project of its own."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        overrides: Sequence[Path] = (),
        *,
        release: str = "local",
        options: Sequence[str] = (),
        more: Sequence[str] = (),
        patience: float = 1.0,
    ) -> None:
        """Keep what is needed; nothing is touched before the ``with``.

        Args:
            engine: runs the containers.
            folder: empty; for secrets and configurations.
            overrides: further compose files.
            release: tag of Assay's images.
            options: of the first `up`.
            more: services of the overrides that stay up, too.
            patience: how many times as long as usual to wait, where others use the cores.
        """
        self.lasting = (*LASTING, *more)
        self.patience = patience
        self.engine = engine
        self.secrets = folder / "secrets"
        self._folder = folder
        self._files = (REPOSITORY / "docker-compose.yml", OVERRIDE, *overrides)
        self.release = release
        self._options = options

    def __enter__(self) -> Self:
        """Bring everything up and wait until each health check is green."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_secrets(self.secrets)
        write_configurations(self._folder)
        try:
            self.up(*self._options, *self.lasting, *_ALERTS)
            self.wait_healthy(self.lasting, _UP_SECONDS)
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take everything down, data included."""
        self.down()

    def compose(self, *arguments: str, seconds: float = 600.0) -> str:
        """Run Compose and return its output; raises EngineError with its last lines when it fails."""
        files = [word for file in self._files for word in ("-f", str(file))]
        command = [*_compose_program(), "--project-directory", str(REPOSITORY), "-p", "assay-test", *files, *arguments]
        environment = {
            **child_environment(),
            "PATH": f"/usr/bin:{os.defpath}",
            "ASSAY_SECRETS": str(self.secrets),
            "ASSAY_TEST_FOLDER": str(self._folder),
            "ASSAY_RELEASE": self.release,
        }
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, env=environment, cwd=REPOSITORY
        )
        if done.returncode:
            raise EngineError(f"compose {' '.join(arguments[:4])}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def up(self, *arguments: str) -> None:
        """Start services, with options of `up` before their names."""
        self.compose("up", "-d", "--no-build", *arguments)

    def down(self) -> None:
        """Remove containers, network and data."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Return what the engine knows of these services' containers."""
        # Asked of the engine itself: Compose takes a second of a core to start, and this is asked all the time.
        filters = [word for label in _LABELS for word in ("--filter", f"label=com.docker.compose.{label}")]
        form = '{{.ID}} {{.Label "com.docker.compose.service"}}'
        lines = self.engine.run("ps", "--all", *filters, "--format", form).splitlines()
        ids = [(services.index(name), key) for key, name in map(str.split, lines) if name in services]
        return self.engine.inspect(*(key for _, key in sorted(ids))) if ids else []

    def execute(self, service: str, *command: str, user: str = "") -> str:
        """Run a command in a service's first container and return its output."""
        as_user = ["--user", user] if user else []
        return self.engine.run("exec", *as_user, self.containers(service)[0]["Id"], *command)

    def secret(self, name: str) -> str:
        """Return the text of a secret's file."""
        return (self.secrets / name).read_text(encoding="utf-8").strip()

    def unhealthy(self, services: Sequence[str]) -> list[str]:
        """Return the services of which a container is not green."""
        return [name for name in services if not _are_green(self.containers(name))]

    def wait_healthy(self, services: Sequence[str], seconds: float) -> None:
        """Wait until every container of the services is green; raises EngineError with those that are not."""
        seconds *= self.patience
        wait_until(lambda: not self.unhealthy(services), seconds, lambda: f"not healthy: {self.unhealthy(services)}")

    def kill_all(self) -> int:
        """Kill the first process of every container at the same moment, as a host's end does; return how many."""
        return self.kill(*self.lasting, *_ALERTS)

    def kill(self, *services: str) -> int:
        """Kill the first process of the services' containers at the same moment; return how many there were."""
        containers = self.containers(*services)
        running = [one["State"]["Pid"] for one in containers if one["State"]["Status"] == "running"]
        for pid in running:
            os.kill(pid, signal.SIGKILL)
        return len(running)

    @contextmanager
    def freeze(self, *services: str) -> Iterator[None]:
        """Stop the first process of each container for as long as the block lasts: it neither works nor ends."""
        pids = [one["State"]["Pid"] for one in self.containers(*services)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def deployment(self) -> Deployment:
        """Return the deployment as a platform and its operators reach it."""
        database, redis = self.secret("assay_database_url"), self.secret("assay_redis_url")
        settings = Settings.model_validate(
            {
                "database_url": database.replace("@postgres:5432", f"@127.0.0.1:{_PORTS['postgres']}"),
                "redis_url": redis.replace("@valkey:6379", f"@127.0.0.1:{_PORTS['valkey']}"),
                "s3_endpoint_url": STORE,
                "s3_access_key_id": self.secret("assay_s3_access_key_id"),
                "s3_secret_access_key": self.secret("assay_s3_secret_access_key"),
                "upload_buckets": ["uploads"],
            }
        )
        return Deployment(settings, API, self.secret("admin_key"))


def write_configurations(folder: Path) -> None:
    """Write what Prometheus and Alertmanager read: the shipped file, and a receiver of the test."""
    shutil.copy2(REPOSITORY / "infra" / "monitoring" / "prometheus.yml", folder)
    (folder / "alertmanager.yml").write_text(
        "route: {receiver: sink, group_wait: 1s, group_interval: 5s}\n"
        "receivers:\n  - name: sink\n    webhook_configs: [{url: 'http://alert-sink:8000/'}]\n",
        encoding="utf-8",
    )
    shutil.copy2(Path(__file__).with_name("run_alert_sink.py"), folder)
    folder.chmod(0o711)
    for name in ("prometheus.yml", "alertmanager.yml", "run_alert_sink.py"):
        (folder / name).chmod(0o444)


def wait_until(condition: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> float:
    """Wait until a condition holds and return the seconds it took; raises EngineError with the complaint."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise EngineError(complaint())
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - began


def _are_green(containers: Sequence[dict[str, Any]]) -> bool:
    return bool(containers) and all(one["State"].get("Health", {}).get("Status") == "healthy" for one in containers)


def _compose_program() -> list[str]:
    # The plugin of newer engines, or the program of older ones, which heeds `deploy` only when it is asked to.
    program = shutil.which("docker-compose")
    return [program, "--compatibility"] if program else ["docker", "compose"]
