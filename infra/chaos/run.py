"""Strikes one fault after the other and sums up."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from random import Random

from infra.chaos.deployment import Deployment
from infra.chaos.faults import Fault, chosen_faults
from infra.chaos.local import LocalStack
from infra.chaos.scene import Report, Scene, strike
from infra.cli.environment import adopt, load_settings, only_these
from worker.database.invariants import InvariantResult, check_invariants
from worker.settings import Settings

# What comes back by the clock comes back soon: events that were lost, by the sweep.
_LOCAL = {
    "ASSAY_SWEEP_INTERVAL_SECONDS": "5",
    "ASSAY_API_PORT": "0",
    "ASSAY_FLOWER_PORT": "0",
}
_KEPT = (
    "ASSAY_ENCODERS_DIR",
    "ASSAY_ENGINE",
    "ASSAY_ENGINE_CACHE_DIR",
    "ASSAY_BUNDLE",
    "ASSAY_LEASE_SECONDS",
    "ASSAY_DISPATCH_TIMEOUT_SECONDS",
)


@dataclass(frozen=True)
class Terms:
    """How chaos goes about it.

    Attributes:
        seed: where chance begins.
        only: names of faults, with `*` for any part of one; empty for all, but for some of the pairs.
        images: put beside each fault.
        patience: seconds after which an image that has not ended is lost.
    """

    seed: int
    only: Sequence[str]
    images: int
    patience: float


def run(terms: Terms, against: str | None, api_key: str, report: Callable[[str], None]) -> Mapping[str, float]:
    """Strike one fault after the other.

    Args:
        terms: how.
        against: URL of a deployment's API; None starts everything here.
        api_key: of that deployment, with scope admin.
        report: takes a line for people after each fault.

    Returns:
        The counts over all faults, with invariants that are violated and what leaked.

    Raises:
        AssayError: no fault is called so, or a part did not come back.
    """
    random = Random(terms.seed)  # noqa: S311 - faults, no secrets
    faults = list(filter(_possible_at(against), chosen_faults(terms.only, random)))
    reports: list[Report] = []
    # A second worker only where it matters: two on one machine take each other's time.
    workers = 2 if any(fault.local for fault in faults) else 1
    with _at(against, api_key, workers) as (deployment, local):
        for fault in faults:
            if (lacking := _lacking(fault, deployment)) is not None:
                report(f"{fault.name:<28} left out: {lacking}")
                continue
            scene = Scene(fault.name, deployment, local, random)
            reports.append(strike(scene, fault.strike, terms.images, terms.patience))
            report(describe(reports[-1]))
            if local:
                local.wait_back()
        leaks = local.leaks() if local else []
        violated = list(filter(attrgetter("violations"), check_invariants(deployment.database)))
    for line in _complaints(violated, leaks):
        report(line)
    return {**summary(reports), "violations": len(violated), "leaks": len(leaks), "seed": terms.seed}


def _possible_at(against: str | None) -> Callable[[Fault], bool]:
    return lambda fault: against is None or not fault.local


def _lacking(fault: Fault, deployment: Deployment) -> str | None:
    """Return what a deployment lacks for a fault; None where it can be struck."""
    alone = fault.promotes and deployment.resting_bundle() is None
    return "the deployment has no second bundle" if alone else None


def _complaints(violated: Sequence[InvariantResult], leaks: Sequence[str]) -> Iterator[str]:
    for checked in violated:
        yield f"violated: {checked.invariant.says}: {'; '.join(checked.listed[:3])}"
    for leak in leaks:
        yield f"leak: {leak}"


def summary(reports: Sequence[Report]) -> dict[str, float]:
    """Return the counts over all faults."""
    counted = {name: sum(getattr(report, name) for report in reports) for name in ("images", "lost", "doubled", "dead")}
    worst = max((report.recovery_s for report in reports), default=0.0)
    return {"images": counted.pop("images"), "faults": len(reports), **counted, "worst_recovery_s": worst}


def describe(report: Report) -> str:
    """Return a fault's report as one line of text."""
    figures = ", ".join(f"{value} {name}" for name, value in asdict(report).items() if name not in {"fault", "missing"})
    return f"{report.fault:<28} {figures}{' '.join(['', *report.missing])}"


@contextmanager
def _at(against: str | None, api_key: str, workers: int) -> Iterator[tuple[Deployment, LocalStack | None]]:
    if against:
        yield Deployment(load_settings(), against, api_key), None
        return
    with tempfile.TemporaryDirectory(prefix="assay-chaos-", ignore_cleanup_errors=True) as folder:
        # As root, Postgres' user has to pass through.
        Path(folder).chmod(0o711)
        # Engines that were built once serve every run: a worker that builds them anew takes minutes to come back.
        engines = (Settings().data_dir / "engine").absolute()
        only_these(_KEPT)
        adopt({**_LOCAL, "ASSAY_DATA_DIR": str(Path(folder) / "data"), "ASSAY_ENGINE_CACHE_DIR": str(engines)})
        with LocalStack(Settings(), workers=workers) as local:
            yield local.deployment, local
