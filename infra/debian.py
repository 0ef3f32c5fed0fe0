"""Programs that tests need from Debian packages: `python -m infra.debian` installs those that are missing, as root.

An ordinary user is told the command; the tests that need them say that they were not run, and in CI they fail.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.cli.environment import child_environment

# Program: the packages that bring it.
PACKAGES = {
    "chromium": ("chromium",),  # shows the console
    "docker-compose": ("docker-compose",),  # Compose's own parser
    "promtool": ("prometheus",),  # checks rules and tests them
    "rabbitmq-server": ("rabbitmq-server",),  # the other broker
    "kubectl": ("kubernetes-client",),  # builds the manifests
    "nginx": ("nginx-light",),  # TLS before the API
}
# Packages of services start them at once; a file of this name tells Debian not to.
_POLICY = Path("/usr/sbin/policy-rc.d")
_ELSEWHERE = "/usr/sbin:/usr/lib/rabbitmq/bin"  # not on everybody's path


def find(program: str) -> str | None:
    """Return where a program is, or None."""
    return shutil.which(program) or shutil.which(program, path=_ELSEWHERE)


def command(*programs: str) -> str:
    """Return what a person would run to have these programs."""
    return f"apt-get install -y --no-install-recommends {' '.join(sorted(_packages(programs)))}"


def install_missing() -> int:
    """Install what is missing, without starting any service; return the exit code for a shell."""
    missing = [program for program in PACKAGES if find(program) is None]
    if not missing:
        return 0
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"tests of {', '.join(missing)} are not run; as root: {command(*missing)}", file=sys.stderr)  # noqa: T201
        return 0
    lacking = _install(missing)
    if lacking:
        print(f"tests of {', '.join(lacking)} are not run: apt-get could not install them", file=sys.stderr)  # noqa: T201
    return 1 if lacking and child_environment().get("CI") else 0


def _install(programs: Sequence[str]) -> list[str]:
    """Install programs one by one, so that a package that a mirror lacks keeps none out; return those that failed."""
    with _no_service_starts():
        _run("apt-get update -q")
        return [program for program in programs if _run(command(program)) != 0]


def _run(line: str) -> int:
    environment = child_environment() | {"DEBIAN_FRONTEND": "noninteractive"}
    shell = ["/bin/sh", "-c", line]
    return subprocess.run(shell, check=False, stdout=subprocess.DEVNULL, env=environment).returncode


def _packages(programs: tuple[str, ...]) -> set[str]:
    return {package for program in programs for package in PACKAGES[program]}


@contextmanager
def _no_service_starts() -> Iterator[None]:
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(install_missing())
