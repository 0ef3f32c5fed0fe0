"""The doctor over real parts with nobody at work on them: an empty backlog does not mean that all is well."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.cli.doctor import Finding, examine
from worker.database.session import Database
from worker.database.tables import Duty
from worker.settings import Settings

pytestmark = pytest.mark.integration


def finding(part: str, settings: Settings) -> Finding:
    return next(found for found in examine(settings) if found.part == part)


@pytest.fixture
def settings(stack_settings: Settings, database_url: str, object_store: Any) -> Settings:
    object_store.sqs.purge_queue(QueueUrl=object_store.queue_url)  # the store has sent a test event
    changes = {
        "database_url": database_url,
        "sqs_queue_url": object_store.queue_url,
        "upload_buckets": (object_store.uploads,),
        "artifact_bucket": object_store.artifacts,
    }
    return Settings.model_validate({**stack_settings.model_dump(exclude_unset=True), **changes})


def test_without_a_worker_the_doctor_is_not_content(settings: Settings) -> None:
    assert finding("backlog", settings).healthy
    worker = finding("worker", settings)
    assert (worker.healthy, worker.found) == (False, "no worker answered within 3 s")
    assert "worker.log" in worker.advice


@pytest.mark.parametrize(("age", "healthy"), [(None, False), (5, True), (600, False)])
def test_a_dispatcher_is_known_by_its_duties(
    settings: Settings, database: Database, age: int | None, *, healthy: bool
) -> None:
    if age is not None:
        with database.transaction() as session:
            session.add(Duty(name="alive", last_finished_at=datetime.now(UTC) - timedelta(seconds=age)))
    assert finding("dispatcher", settings).healthy is healthy


def test_a_sweep_that_takes_long_is_a_dispatcher_at_work(settings: Settings, database: Database) -> None:
    with database.transaction() as session:
        session.add(Duty(name="alive", last_finished_at=datetime.now(UTC) - timedelta(hours=1)))
    with database.lock("duty.sweep"):
        assert finding("dispatcher", settings).healthy


def test_events_that_nobody_takes_are_a_missing_listener(settings: Settings, object_store: Any) -> None:
    assert finding("listener", settings).healthy
    object_store.put(object_store.uploads, "a.png")
    listener = finding("listener", settings)
    assert (listener.healthy, listener.found) == (False, "1 events wait and nobody takes them")
