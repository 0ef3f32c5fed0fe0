"""RabbitMQ as the broker of a compose run, and what is done to it while images come."""

import secrets
import time
from functools import partial
from pathlib import Path

from infra.chaos.faults import Fault
from infra.chaos.scene import Scene
from infra.containers.compose_project import ComposeProject
from infra.containers.networks import pair_faults
from infra.embedded.private_files import write_private

PART = "rabbitmq"
OVERRIDES = (
    Path(__file__).with_name("rabbitmq.override.yml"),
    Path(__file__).parents[1] / "docker" / "broker.override.yml",
)
_FREEZE_SECONDS = 45.0
_ALARM_SECONDS = 30.0
_PAIRS = (("worker", PART, 60.0), ("dispatcher", PART, 45.0))
# In bytes: which units it takes depends on its release.
_USUAL_LIMIT, _NEVER_FREE = "50000000", "1000000000000000"


def write_broker(folder: Path) -> None:
    """Write RabbitMQ's configuration, and its address among the secrets of a compose run's folder."""
    password = secrets.token_hex(24)
    readable = {
        folder / "rabbitmq.conf": f"default_user = assay\ndefault_pass = {password}\nlog.console = true\n",
        folder / "secrets" / "assay_broker_url": f"amqp://assay:{password}@{PART}:5672//",
    }
    for path, text in readable.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, text)
        path.chmod(0o444)


def broker_faults(project: ComposeProject) -> list[Fault]:
    """Return what RabbitMQ is struck with: killed, frozen, out of disk, and cut off from those who use it."""
    return [
        Fault(f"kill {PART}", partial(_kill, project)),
        Fault(f"freeze {PART} {_FREEZE_SECONDS:.0f} s", partial(_freeze, project)),
        Fault(f"disk alarm of {PART} {_ALARM_SECONDS:.0f} s", partial(_raise_alarm, project)),
        *pair_faults(project, _PAIRS),
    ]


def _kill(project: ComposeProject, _scene: Scene) -> None:
    project.kill(PART)


def _freeze(project: ComposeProject, _scene: Scene) -> None:
    # The whole container: its first process is a shell that waits for the server.
    [container] = project.containers(PART)
    project.engine.run("pause", container["Id"])
    try:
        time.sleep(_FREEZE_SECONDS)
    finally:
        project.engine.run("unpause", container["Id"])


def _raise_alarm(project: ComposeProject, _scene: Scene) -> None:
    """Let RabbitMQ find less room on its disk than it wants: it takes no message until there is more."""
    project.execute(PART, "rabbitmqctl", "-q", "set_disk_free_limit", _NEVER_FREE)
    try:
        time.sleep(_ALARM_SECONDS)
    finally:
        project.execute(PART, "rabbitmqctl", "-q", "set_disk_free_limit", _USUAL_LIMIT)
