"""A training run outlives an outage of the object store, the database or the broker, whenever it comes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.training.retraining_world import World
from tests.support.outages import DatabaseOutage, StoreOutage
from training.retraining.progress import STAGES, Progress
from training.retraining.refit_data import bring_replay
from training.retraining.run_process import TEMPORARY_FAILURE, execute, run_folder
from worker.database.tables import RunState
from worker.database.training_leases import TrainingLeases
from worker.objects.transfer import transfer
from worker.objects.trouble import ObjectStoreDownError

pytestmark = pytest.mark.integration

SHORT = ["detectors.clip.fit.epochs=1", "detectors.convnext.fit.epochs=1"]


@pytest.fixture
def outage() -> Iterator[StoreOutage]:
    with StoreOutage().installed() as outage:
        yield outage


def execute_once(world: World, before_back: Callable[[], None] = lambda: None) -> int:
    """Execute as a training worker does: what a part's absence ended is given back once the parts are there again."""
    leases = TrainingLeases(world.database)
    lease = leases.claim(600)
    assert lease is not None
    status = execute(lease, world.settings)
    before_back()
    if status == TEMPORARY_FAILURE:
        assert world.run(lease.run_id).state == RunState.RUNNING
        assert run_folder(world.settings, lease.run_id).exists()
        leases.give_back(lease)
    return status


@pytest.mark.timeout(900)
def test_a_run_outlives_an_outage_of_the_store_at_every_use_of_it(world: World, outage: StoreOutage) -> None:
    world.label("haze", "ai_generated", range(20))
    run_id = world.queue(base_bundle=world.champion, changes=SHORT)
    # Labelled images, the bundle to begin with, what is kept of the run.
    uses = ["GET uploads-", "bundles/tiny-", "run/gate.json"]
    for use in uses:
        outage.of, outage.met = use, []
        assert execute_once(world) == TEMPORARY_FAILURE
        assert outage.met
    outage.of = None
    assert execute_once(world) == 0
    run = world.run(run_id)
    assert (run.state, run.expiries) == (RunState.COMPLETED, 0)
    assert {"gate.json", "manifest.parquet", "replay.parquet"} <= world.artifacts(run.artifacts or "").keys()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_outlives_an_outage_of_the_database_at_every_stage(
    world: World, database_outage: DatabaseOutage, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.label("haze", "ai_generated", range(20))
    run_id = world.queue(changes=SHORT)
    stage_of, reached = Progress.stage, list[str]()

    def stage(progress: Progress, name: str, **more: Any) -> None:
        stage_of(progress, name, **more)
        if name not in reached:
            reached.append(name)
            database_outage.begin()

    monkeypatch.setattr(Progress, "stage", stage)
    while reached != list(STAGES):
        before = len(reached)
        assert execute_once(world, database_outage.end) == TEMPORARY_FAILURE
        # A fit needs no database, so it may reach the gate before the outage is noticed.
        assert len(reached) > before
        assert reached == list(STAGES)[: len(reached)]
    monkeypatch.undo()
    assert execute_once(world) == 0
    assert (world.run(run_id).state, world.run(run_id).expiries) == (RunState.COMPLETED, 0)


def test_a_run_that_cannot_be_says_so_once_the_database_is_back(
    world: World, database_outage: DatabaseOutage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = world.queue("nothing-like-it")
    leases, end = TrainingLeases, TrainingLeases.end

    def away(*arguments: Any) -> None:
        database_outage.begin()
        end(*arguments)

    monkeypatch.setattr(leases, "end", away)
    assert execute_once(world, database_outage.end) == TEMPORARY_FAILURE
    monkeypatch.undo()
    assert execute_once(world) == 0
    assert (world.run(run_id).state, world.run(run_id).expiries) == (RunState.FAILED, 0)
    assert "there is no recipe 'nothing-like-it'" in (world.run(run_id).detail or "")


def test_a_replay_that_is_out_of_reach_is_not_taken_for_none(world: World, outage: StoreOutage, tmp_path: Path) -> None:
    store, bucket, file = transfer(world.settings), world.buckets.artifacts, tmp_path / "replay.parquet"
    outage.of = "replay.parquet"
    with pytest.raises(ObjectStoreDownError):
        bring_replay(store, bucket, "bundles/none/run/", tmp_path / "shipped", file)
    outage.of = None
    bring_replay(store, bucket, "bundles/none/run/", tmp_path / "shipped", file)
    assert not file.exists()
