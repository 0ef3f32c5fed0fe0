"""Every metric of the worker side, in one place; infra/monitoring has the rules and the dashboard over them."""

from prometheus_client import Counter, Gauge, Histogram

# How scans end: completed, rejected, dead, retried, fenced (lease lost).
SCANS = Counter("assay_scans", "Scans by how they ended.", ["outcome", "reason"])
# What is said of images, by source.
VERDICTS = Counter("assay_verdicts", "Verdicts by value and source.", ["verdict", "source"])
# Where the time of a scan goes.
STAGE_SECONDS = Histogram("assay_stage_seconds", "Seconds of a scan by stage.", ["stage"])
# How full batches are; half-empty ones waste the device.
BATCH_SIZE = Histogram("assay_batch_size", "Images in one call.", buckets=(1, 2, 4, 8, 12, 16, 24, 32, 64))
# What the dispatcher publishes, by queue.
DISPATCHED = Counter("assay_dispatched", "Scans published to Celery.", ["queue"])
# The backlog as Postgres knows it.
BACKLOG = Gauge("assay_backlog_scans", "Open scans by queue.", ["queue"])
OLDEST = Gauge("assay_backlog_oldest_seconds", "Age of the oldest open scan by queue.", ["queue"])
# When each loop last went round; one that stands still has an alert.
LAST_ROUND = Gauge("assay_last_round_timestamp_seconds", "When a loop last went round, in Unix time.", ["process"])
# Events from the queue, by what became of them: registered, refused, unknown, postponed, failed.
EVENTS = Counter("assay_events", "Bucket events from the queue by what became of them.", ["outcome"])
# Receives that the queue did not answer.
SQS_TROUBLE = Counter("assay_event_queue_errors", "Receives that the queue of events did not answer.")
