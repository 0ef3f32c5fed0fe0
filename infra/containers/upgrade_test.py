"""`make upgrade-test`: the last release's images under load, this release's migrations, its images, and back again.

Two dispatchers and three workers run all the way. The last release is its source on this
release's packages: its own would have to be fetched again.
"""

import argparse
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random

from infra.chaos.run import summary
from infra.chaos.scene import Scene
from infra.cli.init import write_secrets
from infra.containers.compose_project import LASTING, REPOSITORY, ComposeProject
from infra.containers.engine import Engine, EngineError, find_engine
from infra.containers.images import API, WORKER
from infra.embedded.private_files import write_private
from worker.database.invariants import check_invariants
from worker.errors import AssayError

# The last commit whose database has the migration of release 0.1.0 alone.
LAST = "667f581"
_OLD, _NEW = "previous", "local"
_SCALES = ("--scale", "dispatcher=2", "--scale", "worker=3")
_STEPS = ("dispatcher", "api", "flower", "worker")
_BETWEEN_SECONDS = 1.0
_LASTS_SECONDS = 420.0
_SOURCES = {API: ("worker", "api", "migrations", "infra"), WORKER: ("worker", "training", "migrations", "infra")}


def build_last(engine: Engine, commit: str) -> None:
    """Build the last release's images: today's, with the source of a commit in the place of today's."""
    with tempfile.TemporaryDirectory(prefix="assay-last-") as folder:
        archive = Path(folder) / "source.tar"
        git = Engine("git")
        git.run("-C", str(REPOSITORY), "archive", "--output", str(archive), commit)
        for image, sources in _SOURCES.items():
            gone = " ".join(f"/app/{name}" for name in sources)
            lines = (
                f"FROM {image.name}:{_NEW}",
                "USER root",
                f"RUN rm -rf {gone}",
                "ADD source.tar /source",
                # Its decoder processes look for Assay among what is installed, so there it is named.
                "RUN echo /app > /venv/lib/python3.11/site-packages/assay.pth",
                f"RUN cd /source && mv {' '.join(sources)} /app/ && rm -rf /source",
                "USER 10001:10001",
            )
            dockerfile = Path(folder) / f"{image.name}.Dockerfile"
            dockerfile.write_text("\n".join(lines) + "\n", encoding="ascii")
            engine.build(dockerfile, Path(folder), f"{image.name}:{_OLD}")


def refuses_old_database(project: ComposeProject) -> str:
    """Return what a process of the new release says of a database without its migrations.

    Raises:
        EngineError: it starts all the same.
    """
    try:
        project.compose(
            "run", "-T", "--rm", "--no-deps", "dispatcher", "python", "-m", "infra.cli", "sweep", seconds=120
        )
    except EngineError as error:
        return next((line for line in str(error).splitlines() if line.startswith("assay:")), str(error))
    raise EngineError("a process of the new release works on a database without its migrations")


def lend_owner(folder: Path) -> dict[Path, str]:
    """Let every process sign in as the database's owner, as before there were roles; return what the files held."""
    write_secrets(folder)
    owner = (folder / "assay_database_url").read_text(encoding="utf-8")
    kept = {path: path.read_text(encoding="utf-8") for path in folder.glob("database_url_*")}
    _write_all(dict.fromkeys(kept, owner))
    return kept


def _write_all(texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        write_private(path, text)
        path.chmod(0o444)


@contextmanager
def pouring(scene: Scene) -> Iterator[None]:
    """Put an image a second for as long as the block lasts."""
    over = threading.Event()

    def pour() -> None:
        while not over.wait(_BETWEEN_SECONDS):
            scene.put()

    thread = threading.Thread(target=pour, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def roll(project: ComposeProject, release: str) -> None:
    """Replace one kind of process after the other, and wait for each."""
    project.release = release
    for service in _STEPS:
        project.up("--no-deps", *_SCALES, service)
        project.wait_healthy([service], _LASTS_SECONDS)


def run(options: argparse.Namespace) -> dict[str, object]:
    """Upgrade and go back while images come; return the last line's object."""
    say = partial(print, file=sys.stderr, flush=True)
    engine = find_engine()
    build_last(engine, options.commit)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="assay-upgrade-")))
        roles = lend_owner(folder / "secrets")
        project = running.enter_context(
            ComposeProject(engine, folder, release=_OLD, options=_SCALES, patience=options.patience)
        )
        say(f"{options.commit} runs: {', '.join(LASTING)}")
        scene = Scene("upgrade and rollback", project.deployment(), None, Random(options.seed))  # noqa: S311
        with pouring(scene):
            project.release = _NEW
            say(f"before its migrations the new release says: {refuses_old_database(project)}")
            project.compose("run", "-T", "--rm", "--no-deps", "setup")
            say("migrated; the old release goes on")
            scene.wait(scene.some_ended, _LASTS_SECONDS * options.patience)
            _write_all(roles)
            roll(project, _NEW)
            say(f"rolled to this release after {len(scene.expected)} images")
            roll(project, _OLD)
            say(f"rolled back after {len(scene.expected)} images")
        # The new release's bundle is not in the last one: its scans in shadow wait until it comes back.
        scene.wait(scene.live_scans_have_ended, _LASTS_SECONDS * options.patience)
        report = scene.count(0.0)
        violated = [result for result in check_invariants(project.deployment().database) if result.violations]
    for violation in violated:
        say(f"violated: {violation.invariant.says}: {'; '.join(violation.listed[:3])}")
    return {**summary([report]), "violations": len(violated), "report": asdict(report)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description="Upgrade a compose deployment under load, and roll it back.")
    parser.add_argument("--commit", default=LAST, help="source of the last release (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="where chance begins")
    parser.add_argument("--patience", type=float, default=1.0, help="how many times as long as usual to wait")
    for number in (signal.SIGINT, signal.SIGTERM):  # however it is ended, its containers go
        signal.signal(number, signal.default_int_handler)
    try:
        total = run(parser.parse_args(arguments))
    except AssayError as error:
        print(f"assay: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(json.dumps(total))  # noqa: T201 - the result
    return int(any(total[bad] for bad in ("lost", "doubled", "dead", "violations")))


if __name__ == "__main__":
    sys.exit(main())
