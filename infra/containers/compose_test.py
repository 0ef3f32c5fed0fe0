"""`make compose-test`: the compose file on a container engine, from `assay init` to verdicts, faults and alerts.

The last line is one JSON object; the exit code is 1 unless all that was put has
its one verdict and every check holds.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from random import Random

from infra.chaos.faults import Fault
from infra.chaos.run import describe, summary
from infra.chaos.scene import Report, Scene, strike
from infra.containers.compose_project import LASTING, ComposeProject, wait_until
from infra.containers.doors import alerts_delivered, check_doors, wait_panels, wait_targets
from infra.containers.engine import find_engine
from infra.containers.images import API, WORKER
from infra.containers.inside import check_insides, check_layers, secret_values
from infra.containers.networks import network_faults
from infra.containers.rabbitmq import OVERRIDES, PART, broker_faults, write_broker
from worker.database.invariants import check_invariants
from worker.errors import AssayError

_IMAGES = 200
_VERDICT_SECONDS = 600.0
_PATIENCE_SECONDS = 300.0
_BACK_SECONDS = 300.0
_RED_SECONDS = 150.0
_ALERT_SECONDS = 240.0
# Frozen together: each one's own check has to notice. Prometheus has to see, so it goes on.
_FROZEN = tuple(name for name in LASTING if name != "prometheus")
_ALERT = "AssayProcessDown"

Line = Callable[[str], None]


class ComposeRun:
    """One run: what was found on the way, and the reports of its scenes."""

    def __init__(self, project: ComposeProject, random: Random, say: Line) -> None:
        self._project = project
        self._random = random
        self._say = say
        self.reports: list[Report] = []
        self.complaints: list[str] = []

    def pour(self, images: int) -> None:
        """Put images by a plain S3 client and wait for their verdicts."""
        scene = self._scene(f"{images} images")
        began = time.monotonic()
        scene.put(images)
        put = time.monotonic()
        scene.wait(scene.has_ended, _VERDICT_SECONDS * self._project.patience)
        self._add(scene.count(round(time.monotonic() - put, 1)))
        self._say(f"{images} images put in {put - began:.0f} s, all ended after {time.monotonic() - began:.0f} s")

    def kill_everything(self) -> None:
        """Kill every container at once while images come; nothing may be lost."""

        def act(_scene: Scene) -> None:
            self._say(f"killed {self._project.kill_all()} containers at once")

        self.strike("kill every container", act)

    def strike(self, name: str, act: Callable[[Scene], None]) -> None:
        """Strike a fault while images come, count, and wait until all is well again."""
        self._add(strike(self._scene(name), act, 16, _PATIENCE_SECONDS * self._project.patience))
        self._project.wait_healthy(self._project.lasting, _BACK_SECONDS)

    def freeze(self) -> None:
        """Freeze every part: each health check goes red, and the alert is delivered."""
        # A start and a kill may have raised it before.
        before = len(alerts_delivered(self._project))
        with self._project.freeze(*_FROZEN):
            seconds = wait_until(
                lambda: len(self._project.unhealthy(_FROZEN)) == len(_FROZEN),
                _RED_SECONDS * self._project.patience,
                lambda: f"frozen and still green: {set(_FROZEN) - set(self._project.unhealthy(_FROZEN))}",
            )
            self._say(f"all {len(_FROZEN)} health checks are red {seconds:.0f} s after their parts froze")
            line = f"firing {_ALERT}"
            seconds += wait_until(
                lambda: line in alerts_delivered(self._project)[before:],
                _ALERT_SECONDS * self._project.patience,
                lambda: f"no {_ALERT} was delivered",
            )
            self._say(f"{_ALERT} was delivered {seconds:.0f} s after the freeze")
        self._project.wait_healthy(self._project.lasting, _BACK_SECONDS)

    def check(self, what: str, complaints: Sequence[str]) -> None:
        """Keep what was found wrong."""
        self.complaints += complaints
        self._say(f"{what}: {'; '.join(complaints) or 'as it should be'}")

    def audit(self) -> int:
        """Return how many invariants of the database are violated."""
        checked = [result for result in check_invariants(self._project.deployment().database) if result.violations]
        for violation in checked:
            self._say(f"violated: {violation.invariant.says}: {'; '.join(violation.listed[:3])}")
        return len(checked)

    def _scene(self, name: str) -> Scene:
        return Scene(name, self._project.deployment(), None, self._random)

    def _add(self, report: Report) -> None:
        self.reports.append(report)
        self._say(describe(report))


def run(options: argparse.Namespace, say: Line) -> dict[str, object]:
    """Run all of it; return the last line's object."""
    engine = find_engine()
    random = Random(options.seed)  # noqa: S311 - pictures, no secrets
    by_rabbitmq = options.broker == PART
    overrides, more = ([*options.override, *OVERRIDES], [PART]) if by_rabbitmq else (options.override, [])
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="assay-compose-")))
        if by_rabbitmq:
            write_broker(folder)
        project = running.enter_context(ComposeProject(engine, folder, overrides, more=more, patience=options.patience))
        say(f"{len(project.lasting)} services are healthy")
        going = ComposeRun(project, random, say)
        going.pour(options.images)
        going.check("console and Flower", check_doors(project))
        jobs = wait_targets(90 * options.patience)
        going.check("insides", check_insides(project))
        secrets = secret_values(project.secrets)
        for image in (API, WORKER):
            going.check("layers", check_layers(engine, f"{image.name}:{project.release}", secrets))
        if not options.short:
            going.check("panels without data", wait_panels(90 * options.patience))
            going.kill_everything()
            going.freeze()
        for fault in _chosen_faults(project, options):
            going.strike(fault.name, fault.strike)
        violations = going.audit()
    totals = summary(going.reports)
    verdicts = sum(report.verdicts for report in going.reports)
    parts = {"verdicts": verdicts, "parts_up": len(project.lasting), "targets_up": jobs, "violations": violations}
    return {**totals, **parts, "complaints": going.complaints, "reports": [*map(asdict, going.reports)]}


def _chosen_faults(project: ComposeProject, options: argparse.Namespace) -> list[Fault]:
    cuts = [one for one in network_faults(project) if any(fnmatch(one.name, name) for name in options.network)]
    return [*cuts, *(broker_faults(project) if options.broker == PART else ())]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description="Bring docker-compose.yml up with its stand-ins and prove it.")
    parser.add_argument("--images", type=int, default=_IMAGES, help="put first (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="where chance begins")
    parser.add_argument("--short", action="store_true", help="without panels, kills, freezes and alerts")
    parser.add_argument("--network", action="append", default=[], help="network faults of this name, `*` for any part")
    parser.add_argument("--patience", type=float, default=1.0, help="how many times as long as usual to wait")
    parser.add_argument("--broker", choices=("valkey", PART), default="valkey", help="who carries the messages")
    parser.add_argument("--override", action="append", default=[], type=Path, help="a further compose file")
    options = parser.parse_args(arguments)
    say = partial(print, file=sys.stderr, flush=True)
    # However it is ended, it takes its containers down; a shell's background jobs ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        total = run(options, say)
    except AssayError as error:
        say(f"assay: {error}")
        return 1
    print(json.dumps(total))  # noqa: T201 - the result
    return int(any(total[bad] for bad in ("lost", "doubled", "dead", "violations", "complaints")))


if __name__ == "__main__":
    sys.exit(main())
