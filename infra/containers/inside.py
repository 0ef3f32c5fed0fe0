"""What holds inside and around the containers of Assay: users, capabilities, read-only roots and secrets."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.containers.compose_project import ComposeProject
from infra.containers.engine import Engine, EngineError

OURS = ("api", "dispatcher", "worker", "flower")
_USER = "10001"


def check_insides(project: ComposeProject) -> list[str]:
    """Return every way in which a container of Assay is not as it should be."""
    secrets = secret_values(project.secrets)
    return [
        f"{service}: {complaint}"
        for service in OURS
        for complaint in (*_from_inside(project, service), *_from_outside(project.containers(service), secrets))
    ]


def check_layers(engine: Engine, tag: str, secrets: Mapping[str, str]) -> list[str]:
    """Return what an image should not hold: secrets in its recipe or settings, files lent to its build."""
    description = engine.run("history", "--no-trunc", "--format", "{{.CreatedBy}}", tag) + str(engine.inspect(tag))
    leaks = [f"{tag} holds {name}" for name, value in secrets.items() if value in description]
    lent = "find / -xdev \\( -name 'ca.crt' -path '/run/*' -o -path /etc/pip.conf \\) 2>/dev/null | head"
    files = engine.run("run", "--rm", "--entrypoint", "sh", tag, "-c", lent)
    return [*leaks, *(f"{tag} holds {name}" for name in files.split())]


def secret_values(folder: Path) -> dict[str, str]:
    """Return name → value of every secret that says something by itself."""
    values = {path.name: path.read_text(encoding="utf-8").strip() for path in sorted(folder.iterdir())}
    return {name: value for name, value in values.items() if len(value) >= 12}  # noqa: PLR2004


def _from_inside(project: ComposeProject, service: str) -> Iterator[str]:
    if project.execute(service, "id", "-u") != _USER:
        yield f"runs as {project.execute(service, 'id', '-u')}"
    try:
        project.execute(service, "touch", "/app/written")
        yield "can write its own code"
    except EngineError:
        pass
    status = status_of(project.execute(service, "cat", "/proc/1/status"))
    if int(status["CapEff"], 16) or int(status["CapPrm"], 16) or int(status["CapBnd"], 16):
        yield f"has capabilities {status['CapBnd']}"
    if status["NoNewPrivs"] != "1":
        yield "may gain privileges"
    environment = project.execute(service, "cat", "/proc/1/environ")
    for name, value in secret_values(project.secrets).items():
        if value in environment:
            yield f"has {name} in its environment"


def status_of(text: str) -> dict[str, str]:
    """Return the fields of `/proc/PID/status`."""
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def _from_outside(containers: Sequence[Mapping[str, Any]], secrets: Mapping[str, str]) -> Iterator[str]:
    for container in containers:
        for name, value in secrets.items():
            if value in str(container):
                yield f"{name} can be read by docker inspect"
        if not container["HostConfig"]["Memory"]:
            yield "has no limit of memory"
