"""The daily look at drift: measured and written down; canary photographs are judged anew first.

What is written down is told as metrics by :mod:`worker.processes.store_metrics`.
"""

from worker.database.audit import Actor
from worker.database.drift import DriftMeasures
from worker.database.rescan_filter import RescanFilter
from worker.database.rescans import NoChampionError, Rescans

_ITSELF = Actor("assay")
_CANARIES_PER_SECOND = 5.0


class MeasureDrift:
    """A duty of the dispatcher."""

    def __init__(self, drift: DriftMeasures, rescans: Rescans, canary_source: str | None) -> None:
        """Keep the collaborators; `canary_source` is the source that holds photographs alone, if there is one."""
        self._drift = drift
        self._rescans = rescans
        self._canary = canary_source
        self._rescan_id: int | None = None

    def __call__(self) -> None:
        """Have canaries judged by today's champion and policy, and measure what is there."""
        self._judge_canaries()
        self._drift.measure()

    def _judge_canaries(self) -> None:
        """Have those judged that the champion has not judged under the newest policy; most days there are none."""
        if self._canary is None:
            return
        last = self._rescans.get(self._rescan_id) if self._rescan_id is not None else None
        if last is not None and last.finished_at is None:
            return
        history = RescanFilter(source=self._canary)
        try:
            rescan = self._rescans.add(_ITSELF, history, rate=_CANARIES_PER_SECOND, reason="canary photographs")
        except NoChampionError:
            return
        self._rescan_id = rescan.id
