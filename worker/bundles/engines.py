"""Which engine runs each detector of a loaded bundle: the fastest that agrees with eager torch.

A detector's candidates are tried from the fastest on, with those accepted before it at work. One is taken where, on
fixed pictures, no verdict changes and no probability by more than 0.005. What was chosen is kept beside the exported
networks, with what eager torch made of two pictures; the next start takes it over where the engines agree with that.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from concurrent.futures import ThreadPoolExecutor
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
from worker.detectors.engine.guarded import GuardedEngine
from worker.detectors.engine.openvino import CANNOT_EXPORT, OpenVinoEngine, cpu_precisions, export
from worker.log import get_logger
from worker.metrics import ENGINE, ENGINE_NOT_FINITE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from worker.bundles.loaded import Bundle, PreparedImage
    from worker.decisions.calibration import CalibrationFigures
    from worker.detectors.detector import OneNetwork
    from worker.detectors.engine.eager import Engine

log = get_logger()

EngineName = Literal["auto", "openvino", "torch"]
Kind = tuple[str, str]  # an engine's name and precision
EAGER: Kind = ("torch", "fp32")
MOST_DIFFERENCE = 0.005  # of a probability
_PICTURES, _FEW = 24, 2
_REFERENCE = "eager logits"  # in a note, beside the names of detectors
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


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        engines: by detector.
        reference: eager torch's logits of the first check pictures, by detector; empty in a note of an older release.
    """

    engines: Mapping[str, Kind]
    reference: Mapping[str, Sequence[float]]


def choose_engines(bundle: Bundle, plan: EnginePlan) -> dict[str, Kind]:
    """Set each detector's engine and return what was chosen, by detector. Device thread only."""
    plan = _with_usable_cache(plan)
    earlier = _recall(bundle, plan)
    choice = None if earlier is None else _taken_over(bundle, plan, earlier)
    if choice is None:
        choice = _choose(bundle, plan)
    if choice != earlier:
        _remember(bundle, plan, choice)
    for name, (engine, precision) in choice.engines.items():
        ENGINE.labels(bundle.version, name, engine, precision).set(1)
    engines = {name: " ".join(kind) for name, kind in choice.engines.items()}
    log.info("engines_chosen", bundle=bundle.version, engines=engines)
    return dict(choice.engines)


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


def _choose(bundle: Bundle, plan: EnginePlan) -> Choice:
    pictures = [bundle.prepare(picture) for picture in check_pictures(_PICTURES)]
    bundle.run_eagerly()
    logits = _logits(bundle, pictures)
    few = {name: of_all[:_FEW] for name, of_all in logits.items()}
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
    return Choice(chosen, few)


def _taken_over(bundle: Bundle, plan: EnginePlan, earlier: Choice) -> Choice | None:
    """Set the engines that were chosen before; None where they do not agree with eager torch any more."""
    pictures = [bundle.prepare(picture) for picture in check_pictures(_FEW)]
    reference = earlier.reference
    if not reference:
        bundle.run_eagerly()
        reference = _logits(bundle, pictures)
    if not _set_all(bundle, earlier.engines, plan):
        return None
    before = _probabilities(bundle, reference, pictures)
    after = _probabilities(bundle, _logits(bundle, pictures), pictures)
    return Choice(earlier.engines, reference) if agree(before, after, bundle.figures) else None


def _set_all(bundle: Bundle, engines: Mapping[str, Kind], plan: EnginePlan) -> bool:
    """Give each detector its engine; False where one cannot be made. A CPU's are compiled beside each other."""
    if bundle.device.type != "cpu":  # its one thread alone may speak to it
        return all(_set(bundle, name, kind, plan) for name, kind in engines.items())
    with ThreadPoolExecutor(len(engines)) as threads:
        return all(list(threads.map(lambda name: _set(bundle, name, engines[name], plan), engines)))


def _logits(bundle: Bundle, pictures: Sequence[PreparedImage]) -> dict[str, list[float]]:
    return {name: bundle.logits_of(name, pictures) for name in bundle.detector_names}


def _probabilities(
    bundle: Bundle, logits: Mapping[str, Sequence[float]], pictures: Sequence[PreparedImage]
) -> list[float]:
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
    detector.engine = GuardedEngine(engine, EagerTorch(detector.body()), partial(_count, name))
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


def _recall(bundle: Bundle, plan: EnginePlan) -> Choice | None:
    if plan.cache is None:
        return None
    try:
        stored = json.loads(_note(bundle, plan, plan.cache).read_text(encoding="utf-8"))
        reference = {name: [float(logit) for logit in logits] for name, logits in stored.pop(_REFERENCE, {}).items()}
        chosen = {name: (str(engine), str(precision)) for name, (engine, precision) in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    possible = {EAGER, *candidates(plan, bundle.device)}
    if set(chosen) != set(bundle.detector_names) or not set(chosen.values()) <= possible:
        return None
    return Choice(chosen, reference if _is_complete(reference, chosen) else {})


def _is_complete(reference: Mapping[str, Sequence[float]], engines: Mapping[str, Kind]) -> bool:
    return set(reference) == set(engines) and all(len(logits) == _FEW for logits in reference.values())


def _remember(bundle: Bundle, plan: EnginePlan, choice: Choice) -> None:
    if plan.cache is None:
        return
    noted = {**choice.engines, _REFERENCE: choice.reference}
    _note(bundle, plan, plan.cache).write_text(json.dumps(noted), encoding="utf-8")


def _note(bundle: Bundle, plan: EnginePlan, cache: Path) -> Path:
    """Name the file for this bundle as it is run here: other processors and libraries choose anew."""
    made_of = (
        [bundle.fingerprint(name) for name in bundle.detector_names],
        (bundle.version, bundle.device.type, plan.choice, openvino.__version__, torch.__version__),
        (platform.processor(), openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")),
    )
    return cache / f"{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]}.json"
