"""Keeps the rules of retention: what is too old goes, a little at a time."""

from collections.abc import Callable

from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.idempotency import Idempotency
from worker.database.retention import Retentions
from worker.log import get_logger

log = get_logger()

# Rows of one transaction: short enough that nobody waits for its locks.
_AT_ONCE = 500
_ACTOR = Actor("retention")


class Retain:
    """One round over everything that has an age."""

    def __init__(self, retentions: Retentions, erasure: Erasure, idempotency: Idempotency) -> None:
        self._retentions = retentions
        self._erasure = erasure
        self._idempotency = idempotency

    def __call__(self) -> dict[str, int]:
        """Let go of what is too old; return how much of what."""
        rules = self._retentions.newest()
        gone = {"idempotency_keys": self._idempotency.forget_old()}
        days = rules.delivery_days
        gone["deliveries"] = _all(lambda: self._retentions.drop_deliveries(days, most=_AT_ONCE))
        if (heatmap_days := rules.heatmap_days) is not None:
            gone["heatmaps"] = _all(lambda: self._retentions.drop_heatmaps(heatmap_days, most=_AT_ONCE))
            gone["frames"] = _all(lambda: self._retentions.drop_frames(heatmap_days, most=_AT_ONCE))
        if (image_days := rules.image_days) is not None:
            gone["images"] = _all(lambda: self._erasure.erase_old(_ACTOR, image_days, most=_AT_ONCE))
        if any(gone.values()):
            log.info("retention_kept", **gone)
        return gone


def _all(some: Callable[[], int]) -> int:
    total = 0
    while count := some():
        total += count
    return total
