"""How a scan ends: with its verdict, or by the kind of the error rejected, tried again, given up or left alone."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from worker.database.scans import Lease
from worker.errors import AssayError, LeaseLostError, PermanentError, TransientError, WedgedError, public
from worker.log import get_logger
from worker.metrics import SCANS, VERDICTS
from worker.scan.collaborators import Ledger
from worker.scan.retries import RetryPolicy, Stopwatch
from worker.scan.verdict_row import Judgement, verdict_row

log = get_logger()


class EndOfScan:
    """Writes down what became of a scan."""

    def __init__(self, *, scans: Ledger, retries: RetryPolicy, end_process: Callable[[], None]) -> None:
        """Keep the parts.

        Args:
            scans: where the end is recorded.
            retries: when a scan is tried again, and when it is given up.
            end_process: called where the device is ill, which no image is to blame for.
        """
        self._scans = scans
        self._retries = retries
        self._end_process = end_process

    def __call__(self, lease: Lease, error: Exception) -> None:
        """End the scan, or leave it so that it comes again.

        Raises:
            LeaseLostError: another worker holds the scan; nothing was written.
            TransientError: the database is away.
        """
        if isinstance(error, LeaseLostError):
            raise error
        if isinstance(error, PermanentError):
            self._scans.reject(lease, error.reason, error.detail)
            SCANS.labels("rejected", error.reason).inc()
            log.info("scan_rejected", reason=error.reason, detail=error.detail)
        elif isinstance(error, WedgedError):
            # The lease is left to expire: the process is ill, not the image.
            log.critical("device_wedged", error=error.detail)
            self._end_process()
        elif isinstance(error, TransientError):
            # A part was out of reach, which is no fault of the image: it is tried for as long as that lasts.
            log.warning("scan_postponed", error=error.detail, attempts=lease.attempts + 1)
            self._fail(lease, error, give_up=False)
        else:
            # Whatever it was, the scan is tried again.
            log.error("scan_failed", attempts=lease.attempts + 1, exc_info=error)
            self._fail(lease, error, give_up=self._retries.is_last(lease.attempts))

    def complete(
        self, lease: Lease, judgement: Judgement, heatmaps: Sequence[Mapping[str, Any]], watch: Stopwatch
    ) -> None:
        """Write verdict and heatmaps, or heatmaps alone, and the scan's end; raises as above."""
        if lease.only_heatmaps:
            self._scans.explain(lease, heatmaps, watch.timings)
            SCANS.labels("explained", "").inc()
            return
        score, row = judgement.score, verdict_row(lease, judgement)
        with watch.stage("record"):
            thumbnail_key = judgement.thumbnail_key
            self._scans.complete(
                lease, row, heatmaps, score.facts, watch.timings, memory=score.features, thumbnail_key=thumbnail_key
            )
        SCANS.labels("completed", "").inc()
        if not lease.shadow:
            VERDICTS.labels(judgement.decision.verdict, lease.image.source).inc()
        shown = {name: row[name] for name in ("verdict", "decided_by", "probability")}
        log.info("scan_completed", **shown, ms=watch.timings)

    def keep_thumbnail(self, lease: Lease, key: str, watch: Stopwatch) -> None:
        """Write down a thumbnail that somebody asked for, and the scan's end; raises as above."""
        self._scans.keep_thumbnail(lease, key, watch.timings)
        SCANS.labels("pictured", "").inc()

    def leave(self, error: AssayError) -> None:
        """Leave a scan to others: its lease was lost, or will end by itself since the database is away."""
        if isinstance(error, LeaseLostError):
            SCANS.labels("fenced", "").inc()
            log.warning("scan_fenced", error=error.detail)
        else:
            log.warning("scan_left", error=error.detail)

    def spare_verdict(self, lease: Lease, error: Exception) -> None:
        """Let a verdict stand without its heatmaps.

        Raises:
            WedgedError: the device hangs.
            TransientError: the object store is away, and there are attempts left.
        """
        if isinstance(error, TransientError) and self._retries.is_last(lease.attempts, outage=True):
            log.warning("heatmap_given_up", error=error.detail)
        elif isinstance(error, (WedgedError, TransientError, LeaseLostError)):
            raise error
        else:
            # A defect of a picture for people must not cost the verdict, which is known by now.
            log.error("heatmap_failed", exc_info=error)

    def _fail(self, lease: Lease, error: Exception, *, give_up: bool) -> None:
        outage = isinstance(error, TransientError)
        delay = self._retries.delay(lease.attempts + 1, random.random(), outage=outage)  # noqa: S311 - no secret
        self._scans.fail(lease, public(error), retry_in=None if give_up else delay)
        SCANS.labels("dead" if give_up else "retried", "").inc()
