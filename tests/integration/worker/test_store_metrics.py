"""The metrics that Postgres alone knows, read as a scraper reads them."""

from prometheus_client import CollectorRegistry
from sqlalchemy import text

from tests.conftest import Scanned
from worker.database.drift import newest_measures
from worker.database.session import connect
from worker.database.tables import Drift, Duty, Scan, ScanState, TrainingRun
from worker.processes.store_metrics import StoreCollector


def registry_of(scanned: Scanned) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(StoreCollector(scanned.database))
    return registry


def test_depth_and_oldest_age_are_those_of_postgres_at_the_scrape(scanned: Scanned) -> None:
    registry = registry_of(scanned)
    live = {"queue": "scan.live"}
    assert registry.get_sample_value("assay_backlog_scans", live) == 0
    assert registry.get_sample_value("assay_backlog_oldest_seconds", live) == 0
    first = scanned.arrive("a.png")
    scanned.arrive("b.png")
    with scanned.database.transaction() as session:
        session.get_one(Scan, first).created_at = session.scalar(text("SELECT now() - interval '90 seconds'"))
    assert registry.get_sample_value("assay_backlog_scans", live) == 2
    oldest = registry.get_sample_value("assay_backlog_oldest_seconds", live)
    assert oldest is not None
    assert 90 <= oldest < 600
    assert registry.get_sample_value("assay_backlog_scans", {"queue": "scan.bulk"}) == 0


def test_dead_scans_training_runs_and_duties_are_told(scanned: Scanned) -> None:
    dead = scanned.arrive("a.png")
    with scanned.database.transaction() as session:
        scan = session.get_one(Scan, dead)
        scan.state, scan.reason, scan.due_at = ScanState.DEAD, "attempts_exhausted", None
        session.add(TrainingRun(recipe="wild", parameters={}, requested_by="test"))
        session.add(Duty(name="sweep", last_finished_at=session.scalar(text("SELECT now()")), last_error="broken"))
        session.add(Duty(name="never-done"))
    registry = registry_of(scanned)
    assert registry.get_sample_value("assay_dead_scans", {"reason": "attempts_exhausted"}) == 1
    assert registry.get_sample_value("assay_backlog_scans", {"queue": "scan.live"}) == 0
    assert registry.get_sample_value("assay_training_runs", {"state": "queued"}) == 1
    assert registry.get_sample_value("assay_duty_failed", {"duty": "sweep"}) == 1
    assert registry.get_sample_value("assay_duty_age_seconds", {"duty": "never-done"}) is None
    assert registry.get_sample_value("assay_webhook_deliveries_waiting") == 0


def test_young_clusters_that_detectors_disagree_on_are_counted(scanned: Scanned) -> None:
    registry = registry_of(scanned)
    assert registry.get_sample_value("assay_odd_clusters") == 0
    clusters = {
        "counted": (5, 0.5, "1 hour"),
        "small": (4, 0.9, "1 hour"),
        "agreed on": (9, 0.4, "1 hour"),
        "old": (9, 0.9, "25 hours"),
    }
    with scanned.database.transaction() as session:
        for number, (images, disagreement, age) in enumerate(clusters.values()):
            session.execute(
                text(
                    "INSERT INTO review_cluster (id, images, disagreement, created_at) "
                    "VALUES (:id, :images, :disagreement, now() - CAST(:age AS interval))"
                ),
                {"id": number, "images": images, "disagreement": disagreement, "age": age},
            )
    assert registry.get_sample_value("assay_odd_clusters") == 1


def test_drift_is_told_alike_by_every_dispatcher_whichever_measured_it_last(scanned: Scanned) -> None:
    scanned.crown("rolled-back")
    champion = scanned.crown("b1")
    assert champion == "b1"
    registries = [registry_of(scanned), registry_of(scanned)]  # two dispatchers; the duty falls to either
    days = ("2 days", "1 day", "0 days")
    measured: list[dict[str, object]] = [
        {"psi": 9.0, "uncertain": 0.9},
        {"psi": 0.5, "uncertain": 0.5, "canary": {"rate": 0.4}},
        {"psi": None, "uncertain": 0.1, "canary": {"rate": 0.0}},
    ]
    with scanned.database.transaction() as session:
        for ago, values in zip(days, measured, strict=True):
            day = session.scalar(text(f"SELECT (timezone('UTC', now()) - interval '{ago}')::date"))
            session.add(Drift(day=day, source="posts", bundle_version=champion, measures=values))
        session.add(Drift(day=day, source="posts", bundle_version="rolled-back", measures={"psi": 7.0}))
    for registry in registries:
        # Early in the day too few images are judged for an index: yesterday's stands.
        assert registry.get_sample_value("assay_drift_psi", {"source": "posts"}) == 0.5
        assert registry.get_sample_value("assay_drift_uncertain_share", {"source": "posts"}) == 0.1
        assert registry.get_sample_value("assay_canary_false_positive_share") == 0.0
    with scanned.database.transaction() as session:
        session.execute(text("DELETE FROM drift WHERE day > current_date - 2"))
    assert registries[0].get_sample_value("assay_drift_psi", {"source": "posts"}) is None
    assert registries[0].get_sample_value("assay_canary_false_positive_share") is None


def test_without_the_database_the_figures_are_absent_rather_than_old() -> None:
    registry = CollectorRegistry()
    registry.register(StoreCollector(connect("postgresql+psycopg://assay@127.0.0.1:9/assay")))
    assert list(registry.collect()) == []


def test_of_many_sources_the_canaries_and_those_with_most_images_are_told(scanned: Scanned) -> None:
    scanned.crown("b1")
    measures_of = {"few": '{"images": 20}', "many": '{"images": 500}', "photographs": '{"canary": {"rate": 0.25}}'}
    with scanned.database.transaction() as session:
        for source, measures in measures_of.items():
            row = {"source": source, "measures": measures}
            insert = (
                "INSERT INTO drift (day, source, bundle_version, measures) VALUES (now(), :source, 'b1', :measures)"
            )
            session.execute(text(insert), row)
        assert list(newest_measures(session, most=2)) == ["photographs", "many"]
