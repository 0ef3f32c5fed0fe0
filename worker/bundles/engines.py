"""Which engine runs each detector of a loaded bundle: the fastest that agrees with eager torch.

A detector's candidates are tried from the fastest on, with those accepted before it at work. One is taken where, on
fixed pictures, no verdict changes and no probability by more than 0.005. What was chosen is kept beside the exported
networks; the next start takes it over after comparing two pictures.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import openvino
import torch

from worker.bundles.check_pictures import check_pictures
from worker.decisions.calibration import derive_thresholds
from worker.decisions.verdict import compare
from worker.detectors.detector import Seeing
from worker.detectors.engine.cuda_graphs import CudaGraphs
from worker.detectors.engine.eager import EagerTorch
from worker.detectors.engine.guarded import Guarded
from worker.detectors.engine.openvino import CANNOT_EXPORT, OpenVinoEngine, cpu_precisions, export
from worker.log import get_logger
from worker.metrics import ENGINE, ENGINE_NOT_FINITE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from worker.bundles.loaded import Bundle, Prepared
    from worker.decisions.calibration import CalibrationFigures
    from worker.detectors.detector import OneNetwork
    from worker.detectors.engine.eager import Engine

log = get_logger()

EngineName = Literal["auto", "openvino", "torch"]
Kind = tuple[str, str]  # an engine's name and precision
EAGER: Kind = ("torch", "fp32")
MOST_DIFFERENCE = 0.005  # of a probability
_PICTURES, _FEW = 24, 2
# False-positive and miss budgets whose verdicts must not change.
_BUDGETS = ((0.01, 0.05), (0.005, 0.01))


@dataclass(frozen=True)
class EnginePlan:
    """How detectors may be run.

    Attributes:
        choice: `auto` and `openvino` try OpenVINO on a CPU; `torch` is eager there. A GPU is given CUDA graphs.
        cache: folder of exported networks and of what was chosen; None keeps nothing.
        threads: views that a CPU runs beside each other.
    """

    choice: EngineName = "auto"
    cache: Path | None = None
    threads: int = 1


def choose_engines(bundle: Bundle, plan: EnginePlan) -> dict[str, Kind]:
    """Set each detector's engine and return what was chosen, by detector. Device thread only."""
    plan = _with_usable_cache(plan)
    remembered = _remembered(bundle, plan)
    if remembered is None or not _taken_over(bundle, plan, remembered):
        remembered = _choose(bundle, plan)
        _remember(bundle, plan, remembered)
    for name, (engine, precision) in remembered.items():
        ENGINE.labels(bundle.version, name, engine, precision).set(1)
    told = {name: " ".join(kind) for name, kind in remembered.items()}
    log.info("engines_chosen", bundle=bundle.version, engines=told)
    return remembered


def _with_usable_cache(plan: EnginePlan) -> EnginePlan:
    """Return the plan; without its cache where nothing can be written there."""
    if plan.cache is None:
        return plan
    try:
        plan.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=plan.cache):
            return plan
    except OSError as error:
        log.warning("engine_cache_not_writable", cache=str(plan.cache), error=error.strerror)
        return replace(plan, cache=None)


def candidates(plan: EnginePlan, device: torch.device) -> list[Kind]:
    """List the engines to try before eager torch, the fastest first."""
    if device.type == "cuda":
        return [("cuda-graphs", "bf16"), ("cuda-graphs", "fp32")]
    if plan.choice == "torch":
        return []
    return [("openvino", precision) for precision in cpu_precisions()]


def agree(before: Sequence[float], after: Sequence[float], figures: CalibrationFigures) -> bool:
    """Tell whether probabilities of the same pictures differ by little, and no verdict does."""
    if any(not abs(new - old) <= MOST_DIFFERENCE for old, new in zip(before, after, strict=True)):
        return False  # NaN too
    for false_positives, misses in _BUDGETS:
        cuts = derive_thresholds(figures, false_positive_budget=false_positives, miss_budget=misses)
        if any(compare(old, cuts) != compare(new, cuts) for old, new in zip(before, after, strict=True)):
            return False
    return True


def _choose(bundle: Bundle, plan: EnginePlan) -> dict[str, Kind]:
    pictures = [bundle.prepare(picture) for picture in check_pictures(_PICTURES)]
    bundle.run_eagerly()
    logits = {name: bundle.logits_of(name, pictures) for name in bundle.detector_names}
    reference = _probabilities(bundle, logits, pictures)
    chosen = dict.fromkeys(bundle.detector_names, EAGER)
    for name in chosen:
        for kind in candidates(plan, bundle.device):
            if not _set(bundle, name, kind, plan):
                continue
            tried = {**logits, name: bundle.logits_of(name, pictures)}
            if agree(reference, _probabilities(bundle, tried, pictures), bundle.figures):
                logits, chosen[name] = tried, kind
                break
            log.warning("engine_disagrees", bundle=bundle.version, detector=name, engine=" ".join(kind))
            bundle.detector(name).engine = None
    return chosen


def _taken_over(bundle: Bundle, plan: EnginePlan, remembered: Mapping[str, Kind]) -> bool:
    pictures = [bundle.prepare(picture) for picture in check_pictures(_FEW)]
    bundle.run_eagerly()
    before = {name: bundle.logits_of(name, pictures) for name in bundle.detector_names}
    if not all(_set(bundle, name, kind, plan) for name, kind in remembered.items()):
        return False
    after = {name: bundle.logits_of(name, pictures) for name in bundle.detector_names}
    return agree(_probabilities(bundle, before, pictures), _probabilities(bundle, after, pictures), bundle.figures)


def _probabilities(bundle: Bundle, logits: Mapping[str, Sequence[float]], pictures: Sequence[Prepared]) -> list[float]:
    return [
        bundle.probability({name: of_all[row] for name, of_all in logits.items()}, picture.covariates)
        for row, picture in enumerate(pictures)
    ]


def _set(bundle: Bundle, name: str, kind: Kind, plan: EnginePlan) -> bool:
    """Give a detector an engine; False where it cannot be made."""
    detector = bundle.detector(name)
    if kind == EAGER:
        detector.engine = None
        return True
    try:
        engine = _made(bundle, detector, kind, plan)
    except CANNOT_EXPORT as error:
        log.info("engine_cannot_run", detector=name, engine=" ".join(kind), error=repr(error)[:200])
        return False
    detector.engine = Guarded(engine, EagerTorch(detector.body()), partial(_count, name))
    return True


def _count(name: str) -> None:
    ENGINE_NOT_FINITE.labels(name).inc()
    log.error("engine_not_finite", detector=name)


def _made(bundle: Bundle, detector: OneNetwork, kind: Kind, plan: EnginePlan) -> Engine:
    name, precision = kind
    if name == "cuda-graphs":
        return CudaGraphs(detector.body(), precision, detector.plan.size, bundle.device)
    # A head that is fitted again, outside the body, makes no other export.
    content = bundle.fingerprint(detector.name, body=isinstance(detector, Seeing))
    model = export(detector.body(), detector.plan.size, plan.cache, content)
    return OpenVinoEngine(model, precision, plan.threads)


def _remembered(bundle: Bundle, plan: EnginePlan) -> dict[str, Kind] | None:
    if plan.cache is None:
        return None
    try:
        stored = json.loads(_note(bundle, plan, plan.cache).read_text(encoding="utf-8"))
        chosen = {name: (str(engine), str(precision)) for name, (engine, precision) in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    possible = {EAGER, *candidates(plan, bundle.device)}
    return chosen if set(chosen) == set(bundle.detector_names) and set(chosen.values()) <= possible else None


def _remember(bundle: Bundle, plan: EnginePlan, chosen: Mapping[str, Kind]) -> None:
    if plan.cache is None:
        return
    _note(bundle, plan, plan.cache).write_text(json.dumps(chosen), encoding="utf-8")


def _note(bundle: Bundle, plan: EnginePlan, cache: Path) -> Path:
    """Name the file for this bundle as it is run here: other processors and libraries choose anew."""
    made_of = (
        [bundle.fingerprint(name) for name in bundle.detector_names],
        (bundle.version, bundle.device.type, plan.choice, openvino.__version__, torch.__version__),
        (platform.processor(), openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")),
    )
    return cache / f"{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]}.json"
