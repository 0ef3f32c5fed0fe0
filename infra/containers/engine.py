"""The container engine's command line: found, started by nobody here, and asked to build, look and act."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.cli.environment import child_environment
from worker.errors import AssayError

# Debian's own engine builds with BuildKit by itself; a newer command line without its buildx plugin cannot.
_PROGRAMS = ("docker", "/usr/bin/docker")


class EngineError(AssayError):
    """The container engine did not do what it was asked to."""


class Engine:
    """Docker, by its command line."""

    def __init__(self, program: str) -> None:
        """Keep the program.

        Args:
            program: of the command line, such as `find_engine` returns.
        """
        self.program = program

    def run(self, *arguments: str, seconds: float = 120.0, stdin: bytes | None = None) -> str:
        """Run a command and return its output; raises EngineError with its last line when it fails."""
        done = subprocess.run(
            [self.program, *arguments],
            input=stdin,
            capture_output=True,
            timeout=seconds,
            check=False,
            env={**child_environment(), "DOCKER_BUILDKIT": "1"},
        )
        if done.returncode:
            last_words = done.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
            raise EngineError(f"docker {' '.join(arguments[:3])}: {last_words[-1]}")
        return done.stdout.decode(errors="replace").strip()

    def inspect(self, *names: str) -> list[dict[str, Any]]:
        """Return what the engine knows of containers or images; an unknown one raises EngineError."""
        described: list[dict[str, Any]] = json.loads(self.run("inspect", *names))
        return described

    def has_image(self, tag: str) -> bool:
        """Tell whether an image of this tag is here."""
        return bool(self.run("images", "--quiet", tag))

    def stand_in_label(self, tag: str) -> str:
        """Return what an image says it stands in for; empty for one that does not stand in."""
        labels = self.inspect(tag)[0]["Config"].get("Labels") or {}
        return str(labels.get("assay.stand-in", ""))

    def build(
        self,
        dockerfile: Path,
        context: Path,
        tag: str,
        *,
        target: str = "",
        arguments: Mapping[str, str] | None = None,
        secrets: Mapping[str, Path] | None = None,
    ) -> None:
        """Build an image; the log goes to standard error as it comes.

        Args:
            dockerfile: the recipe.
            context: the folder that it may copy from.
            tag: of the image.
            target: the stage; empty for the last one.
            arguments: build arguments.
            secrets: files lent to steps that name them; they get into no layer.
        """
        # Registries are reached as this machine reaches them.
        command = [self.program, "build", "--network", "host", "--tag", tag, "--file", str(dockerfile)]
        command += ["--target", target] if target else []
        command += [word for name, value in (arguments or {}).items() for word in ("--build-arg", f"{name}={value}")]
        command += [word for name, path in (secrets or {}).items() for word in ("--secret", f"id={name},src={path}")]
        environment = {**child_environment(), "DOCKER_BUILDKIT": "1"}
        if subprocess.run([*command, str(context)], check=False, env=environment).returncode:
            raise EngineError(f"{tag} cannot be built by {dockerfile}; its log says why")


def find_engine(programs: Sequence[str] = _PROGRAMS) -> Engine:
    """Return an engine that runs and can build.

    Raises:
        EngineError: there is none; the message says what to do.
    """
    for program in filter(None, map(shutil.which, programs)):
        engine = Engine(program)
        if _answers(engine, "version") and _builds(engine):
            return engine
    raise EngineError(
        "no container engine answers; install one (Debian: apt-get install docker.io docker-compose iptables) "
        "and start it (`dockerd`)"
    )


def _builds(engine: Engine) -> bool:
    client = engine.run("version", "--format", "{{.Client.Version}}")
    # From release 23 on, BuildKit is a plugin.
    return int(client.partition(".")[0]) < 23 or _answers(engine, "buildx", "version")  # noqa: PLR2004


def _answers(engine: Engine, *arguments: str) -> bool:
    try:
        engine.run(*arguments, seconds=20)
    except (EngineError, subprocess.TimeoutExpired):
        return False
    return True
