"""The daily look at drift: measured, written down, shown as metrics; canary photographs are judged anew first."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import Gauge

from worker.store.audit import Actor
from worker.store.drift import DriftMeasures
from worker.store.history_rescans import HistoryFilter, HistoryRescans
from worker.store.rescans import NoChampionError

PSI = Gauge("assay_drift_psi", "Population stability index of today's probabilities.", ["source"])
UNCERTAIN = Gauge("assay_drift_uncertain_share", "Share of today's verdicts that are uncertain.", ["source"])
DISAGREEMENT = Gauge("assay_drift_disagreement_share", "Share of today's images the detectors disagree on.", ["source"])
FEATURES = Gauge("assay_drift_feature_shift", "Shift of the mean feature, in standard deviations.", ["source"])
CANARY = Gauge("assay_canary_false_positive_share", "Share of the canary photographs that are flagged.")

_BY_SOURCE = {"psi": PSI, "uncertain": UNCERTAIN, "disagreement": DISAGREEMENT, "feature_shift": FEATURES}
_ITSELF = Actor("assay")
_CANARIES_PER_SECOND = 5.0


class MeasureDrift:
    """A duty of the dispatcher."""

    def __init__(self, drift: DriftMeasures, rescans: HistoryRescans, canary_source: str | None) -> None:
        """Keep the collaborators; `canary_source` is the source that holds photographs alone, if there is one."""
        self._drift = drift
        self._rescans = rescans
        self._canary = canary_source
        self._asked: int | None = None

    def __call__(self) -> None:
        """Have canaries judged by today's champion and policy, and measure what is there."""
        self._judge_canaries()
        show(self._drift.measure())

    def _judge_canaries(self) -> None:
        """Have those judged that the champion has not judged under the newest policy; most days there are none."""
        if self._canary is None:
            return
        last = self._rescans.get(self._asked) if self._asked is not None else None
        if last is not None and last.finished_at is None:
            return
        wanted = HistoryFilter(source=self._canary)
        try:
            asked = self._rescans.add(_ITSELF, wanted, rate=_CANARIES_PER_SECOND, reason="canary photographs")
        except NoChampionError:
            return
        self._asked = asked.id


def show(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Set the gauges; what is not known is left as it was."""
    for source, told in found.items():
        for name, gauge in _BY_SOURCE.items():
            if told.get(name) is not None:
                gauge.labels(source).set(told[name])
        rate = told.get("canary", {}).get("rate")
        if rate is not None:
            CANARY.set(rate)
