"""What Postgres alone knows, as metrics: asked anew at every scrape, so that nobody shows what others have changed."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from worker.database.drift import newest_measures
from worker.database.due_scans import backlog
from worker.database.session import Database
from worker.database.tables import Duty, ReviewCluster, Scan, ScanState, TrainingRun, WebhookDelivery
from worker.dispatch.dispatcher import QUEUES
from worker.errors import TransientError
from worker.log import get_logger

log = get_logger()

# Sources come from keys: those with most images have series of their own.
_MOST_SOURCES = 100
_DAY = timedelta(days=1)
# Two or three look-alikes are one person's tries; half of the scale between two detectors is no shade of opinion.
_ODD_IMAGES, _ODD_DISAGREEMENT = 5, 0.5
_DRIFT = (
    ("psi", "assay_drift_psi", "Population stability index of the day's probabilities."),
    ("uncertain", "assay_drift_uncertain_share", "Share of the day's verdicts that are uncertain."),
    ("disagreement", "assay_drift_disagreement_share", "Share of the day's images the detectors disagree on."),
    ("feature_shift", "assay_drift_feature_shift", "Shift of the mean feature, in standard deviations."),
    ("calibration_shift", "assay_drift_calibration_shift", "The same from the champion's calibration set."),
)


class StoreCollector(Collector):
    """Collects from the database; while it is away these metrics are absent, for which there is an alert."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterable[Metric]:
        """Yield what is there now."""
        try:
            with self._database.transaction() as session:
                now = [*_backlog(session), _dead(session), _training(session), *_webhooks(session), *_duties(session)]
                return [*now, _odd_clusters(session), *_drift(session)]
        except TransientError as error:
            log.warning("store_metrics_postponed", error=error.detail)
            return ()

    def describe(self) -> Iterable[Metric]:
        """Say nothing at registration, so that a process starts while the database is away."""
        return ()


def _backlog(session: Session) -> Sequence[Metric]:
    depth = GaugeMetricFamily("assay_backlog_scans", "Open scans by queue.", labels=["queue"])
    oldest = GaugeMetricFamily("assay_backlog_oldest_seconds", "Age of the oldest open scan.", labels=["queue"])
    for queue in QUEUES:
        count, age = backlog(session, queue)
        depth.add_metric([queue], count)
        oldest.add_metric([queue], age)
    return depth, oldest


def _dead(session: Session) -> Metric:
    """Dead scans wait for a person, so there are few; the index on the state finds them."""
    by_reason = select(Scan.reason, func.count()).where(Scan.state == ScanState.DEAD).group_by(Scan.reason)
    dead = GaugeMetricFamily("assay_dead_scans", "Scans given up and not replayed, by reason.", labels=["reason"])
    for reason, count in session.execute(by_reason):
        dead.add_metric([reason or ""], count)
    return dead


def _training(session: Session) -> Metric:
    runs = GaugeMetricFamily("assay_training_runs", "Training runs by state.", labels=["state"])
    for state, count in session.execute(select(TrainingRun.state, func.count()).group_by(TrainingRun.state)):
        runs.add_metric([state], count)
    return runs


def _webhooks(session: Session) -> Sequence[Metric]:
    age = func.coalesce(func.extract("epoch", func.now() - func.min(WebhookDelivery.created_at)), 0)
    waiting = (WebhookDelivery.delivered_at.is_(None), WebhookDelivery.due_at.is_not(None))
    count, oldest = session.execute(select(func.count(), age).where(*waiting)).one()
    return (
        GaugeMetricFamily("assay_webhook_deliveries_waiting", "Webhooks that were not delivered yet.", value=count),
        GaugeMetricFamily("assay_webhook_oldest_seconds", "Age of the oldest of them.", value=float(oldest)),
    )


def _duties(session: Session) -> Sequence[Metric]:
    since = func.extract("epoch", func.now() - Duty.last_finished_at)
    failed = case((Duty.last_error.is_(None), 0), else_=1)
    ages = GaugeMetricFamily("assay_duty_age_seconds", "Seconds since a scheduled duty last ended.", labels=["duty"])
    failures = GaugeMetricFamily("assay_duty_failed", "1 where a duty's last turn failed.", labels=["duty"])
    done = select(Duty.name, since, failed).where(Duty.last_finished_at.is_not(None))
    for name, age, bad in session.execute(done):
        ages.add_metric([name], float(age))
        failures.add_metric([name], bad)
    return ages, failures


def _odd_clusters(session: Session) -> Metric:
    """Tell of look-alikes that no detector knows well: a new generator's pictures come in such clusters."""
    odd = (
        select(func.count())
        .select_from(ReviewCluster)
        .where(
            ReviewCluster.created_at > func.now() - _DAY,
            ReviewCluster.images >= _ODD_IMAGES,
            ReviewCluster.disagreement >= _ODD_DISAGREEMENT,
        )
    )
    meaning = "Clusters of the last day of five look-alikes or more in the review queue that detectors disagree on."
    return GaugeMetricFamily("assay_odd_clusters", meaning, value=session.scalar(odd) or 0)


def _drift(session: Session) -> Sequence[Metric]:
    """Tell what the duty wrote down, whichever dispatcher it fell to: a gauge of its own grows stale in the others."""
    by_source = newest_measures(session, most=_MOST_SOURCES)
    families = []
    for name, metric, meaning in _DRIFT:
        family = GaugeMetricFamily(metric, meaning, labels=["source"])
        for source, measured in by_source.items():
            if name in measured:
                family.add_metric([source], measured[name])
        families.append(family)
    meaning = "Share of the canary photographs that are flagged."
    canary = GaugeMetricFamily("assay_canary_false_positive_share", meaning, labels=())
    for rate in (measured.get("canary", {}).get("rate") for measured in by_source.values()):
        if rate is not None:
            canary.add_metric((), rate)
    return [*families, canary]
