"""Progress of a training run: what the loop tells → the run's row and its events, not too often, with the time left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.errors import TransientError
from worker.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

log = get_logger()

# Where each stage begins, as a share of the whole; fitting takes nearly all of it.
STAGES = {"data": 0.0, "fit": 0.05, "gate": 0.9, "keep": 0.97}
_FIT_ENDS = 0.9
_ROW_EVERY_SECONDS = 2.0
# Events are kept for good: a long run tells less often, a few hundred times in all.
_EVENT_SHARE = 1 / 300


@dataclass
class Progress:
    """Tells of one run.

    Attributes:
        tell: writes a kind, the progress and whether it is an event; may raise TransientError, which is let pass.
        monotonic: clock, in seconds.
        detectors: to be fitted, in order.
    """

    tell: Callable[..., None]
    monotonic: Callable[[], float]
    detectors: tuple[str, ...] = ()
    _begun: float = field(init=False)
    _told_at: float = field(init=False, default=-1e9)
    _event: float = field(init=False, default=-1e9)
    _fit_begun: float | None = field(init=False, default=None)
    _fit_done_before: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        """Start the clock."""
        self._begun = self.monotonic()

    def stage(self, name: str, **more: Any) -> None:
        """Tell that the run has come to a stage."""
        self._write("stage", {"stage": name, "done": STAGES[name], "eta_seconds": None, **more}, event=True)

    def fitting(self, news: dict[str, Any]) -> None:
        """Tell how far the fit is; news are those of `training.fitting.fit`, every few steps."""
        now, place = self.monotonic(), self.detectors.index(news["detector"])
        done = (place + min(1.0, news["progress"])) / len(self.detectors)
        if self._fit_begun is None:  # a resumed run does not start from nothing
            self._fit_begun, self._fit_done_before = now, done
        if now - self._told_at < _ROW_EVERY_SECONDS:
            return
        gained = done - self._fit_done_before
        left = (now - self._fit_begun) * (1.0 - done) / gained if gained > 0 else None
        event = now - self._event >= max(_ROW_EVERY_SECONDS, _EVENT_SHARE * (now - self._begun + (left or 0.0)))
        overall = STAGES["fit"] + (_FIT_ENDS - STAGES["fit"]) * done
        progress = {"stage": "fit", "done": round(overall, 4), "eta_seconds": left and round(left), **news}
        self._write("progress", progress, event=event)

    def _write(self, kind: str, details: dict[str, Any], *, event: bool) -> None:
        self._told_at = self.monotonic()
        self._event = self._told_at if event else self._event
        try:
            self.tell(kind, details, event=event)
        except TransientError as error:
            log.warning("progress_not_told", error=error.detail)
