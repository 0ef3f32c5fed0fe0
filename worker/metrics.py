"""Every metric of the worker side, in one place; infra/monitoring has the rules and the dashboard over them.

What Postgres alone knows is asked at each scrape, in :mod:`worker.processes.store_metrics`.
"""

from prometheus_client import Counter, Gauge, Histogram

# Sources come from keys, and a platform may well put users' names there: past so many, they share one label.
_MOST_SOURCES = 100
OTHER_SOURCES = "(other)"


class BySource:
    """A counter by verdict and source, whose number of series is bounded."""

    def __init__(self, counter: Counter, most: int = _MOST_SOURCES) -> None:
        self._counter = counter
        self._most = most
        self._sources: set[str] = set()

    def labels(self, verdict: str, source: str) -> Counter:
        """Return the counter of a verdict and a source; those that come after the first many are one."""
        if source not in self._sources and len(self._sources) < self._most:
            self._sources.add(source)
        return self._counter.labels(verdict, source if source in self._sources else OTHER_SOURCES)


# How scans end: completed, rejected, dead, retried, fenced (lease lost).
SCANS = Counter("assay_scans", "Scans by how they ended.", ["outcome", "reason"])
# How attempts at files that platforms name by address end: done, retried, fenced (lease lost), or a reason.
FETCHES = Counter("assay_fetches", "Attempts to fetch files by how they ended.", ["outcome"])
# What is said of images, by source.
VERDICTS = BySource(Counter("assay_verdicts", "Verdicts by value and source.", ["verdict", "source"]))
# Where the time of a scan goes.
STAGE_SECONDS = Histogram("assay_stage_seconds", "Seconds of a scan by stage.", ["stage"])
# What a scan costs in its own thread; decoder processes and the device's thread are not in it. "task" is all of it.
STAGE_PROCESSOR = Counter("assay_stage_processor_seconds", "Processor seconds of a scan's thread by stage.", ["stage"])
# How full batches are; half-empty ones waste the device.
BATCH_SIZE = Histogram("assay_batch_size", "Images in one call.", buckets=(1, 2, 4, 8, 12, 16, 24, 32, 64))
# What the device holds: allocated, reserved by torch, and in all; a CPU has none of it.
DEVICE_MEMORY = Gauge("assay_device_memory_bytes", "Memory of the device by kind.", ["kind"])
# What runs each detector of a loaded bundle; the value is always 1.
ENGINE = Gauge("assay_engine", "Engine of a bundle's detector.", ["bundle", "detector", "engine", "precision"])
# Batches that an engine gave NaN or infinity for; eager torch ran them again.
ENGINE_NOT_FINITE = Counter("assay_engine_not_finite", "Batches run again by eager torch.", ["detector"])
# What the dispatcher publishes, by queue.
DISPATCHED = Counter("assay_dispatched", "Scans published to Celery.", ["queue"])
# Workers that died or froze; what they held was done by others.
LOST_WORKERS = Counter("assay_workers_lost", "Workers that died or froze, by heartbeat and lock.")
# When each loop last went round; one that stands still has an alert.
LAST_ROUND = Gauge("assay_last_round_timestamp_seconds", "When a loop last went round, in Unix time.", ["process"])
# Events from the queue, by what became of them: registered, refused, unknown, postponed, failed.
EVENTS = Counter("assay_events", "Bucket events from the queue by what became of them.", ["outcome"])
# Receives that the queue did not answer.
SQS_TROUBLE = Counter("assay_event_queue_errors", "Receives that the queue of events did not answer.")
