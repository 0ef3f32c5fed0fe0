"""Keeps the rules of retention: what is too old goes, a little at a time."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from worker.database.appeals import Appeals
from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.idempotency import Idempotency
from worker.database.retention import Retentions
from worker.log import get_logger

log = get_logger()

# Rows of one transaction: short enough that nobody waits for its locks.
_AT_ONCE = 500
_ACTOR = Actor("retention")


class Drops(Protocol):
    """A table whose ended rows go some days after."""

    def drop(self, days: int, *, most: int) -> int:
        """Drop the oldest rows that are older than so many days; return how many."""


class Retain:
    """One round over everything that has an age."""

    def __init__(
        self,
        retentions: Retentions,
        erasure: Erasure,
        idempotency: Idempotency,
        appeals: Appeals,
        kept_as_deliveries: Mapping[str, Drops],
    ) -> None:
        """Keep the tables; those of ``kept_as_deliveries``, by what their rows are called, share `delivery_days`."""
        self._retentions = retentions
        self._erasure = erasure
        self._idempotency = idempotency
        self._appeals = appeals
        self._kept_as_deliveries = kept_as_deliveries

    def __call__(self) -> dict[str, int]:
        """Let go of what is too old; return how much of what."""
        rules = self._retentions.newest()
        gone = {"idempotency_keys": self._idempotency.forget_old()}
        days = rules.delivery_days
        appeal_days = rules.appeal_days
        gone["appeals"] = _all(partial(self._appeals.forget, appeal_days, most=_AT_ONCE))
        gone["deliveries"] = _all(partial(self._retentions.drop_deliveries, days, most=_AT_ONCE))
        for name, table in self._kept_as_deliveries.items():
            gone[name] = _all(partial(table.drop, days, most=_AT_ONCE))
        if (heatmap_days := rules.heatmap_days) is not None:
            gone["heatmaps"] = _all(partial(self._retentions.drop_heatmaps, heatmap_days, most=_AT_ONCE))
            gone["frames"] = _all(partial(self._retentions.drop_frames, heatmap_days, most=_AT_ONCE))
            gone["thumbnails"] = _all(partial(self._retentions.drop_thumbnails, heatmap_days, most=_AT_ONCE))
        if (image_days := rules.image_days) is not None:
            gone["images"] = _all(partial(self._erasure.erase_old, _ACTOR, image_days, most=_AT_ONCE))
        if any(gone.values()):
            log.info("retention_kept", **gone)
        return gone


def _all(some: Callable[[], int]) -> int:
    total = 0
    while count := some():
        total += count
    return total
