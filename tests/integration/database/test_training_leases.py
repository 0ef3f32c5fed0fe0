"""A training run belongs to who holds its lease; a lost lease is taken over, and its former holder writes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from worker.database.audit import Actor
from worker.database.session import Database
from worker.database.tables import RunState, TrainingRun
from worker.database.training_leases import DEAD_AFTER_EXPIRIES, RunLease, TrainingLeases, complete
from worker.database.training_runs import ActiveRunError, TrainingRuns
from worker.errors import LeaseLostError

pytestmark = pytest.mark.integration

ME = Actor("me")


@pytest.fixture
def leases(database: Database) -> TrainingLeases:
    return TrainingLeases(database)


def queue(database: Database, recipe: str = "wild", **more: Any) -> int:
    return TrainingRuns(database).queue(ME, recipe, {}, **more).id


def claimed(leases: TrainingLeases) -> RunLease:
    lease = leases.claim(60)
    assert lease is not None
    return lease


def expire(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE training_run SET lease_until = now() - interval '1 second'"))


def run_of(database: Database, run_id: int) -> TrainingRun:
    run = TrainingRuns(database).get(run_id)
    assert run is not None
    return run


def test_runs_are_taken_once_and_oldest_first(
    database: Database, leases: TrainingLeases, together: Callable[..., list[Any]]
) -> None:
    ids = [queue(database, name) for name in ("a", "b", "c")]
    assert leases.waiting() == 3
    taken = together(*[lambda: leases.claim(60)] * 5)
    assert sorted(lease.run_id for lease in taken if lease) == ids
    assert leases.waiting() == 0
    assert leases.claim(60) is None
    assert {run_of(database, run_id).state for run_id in ids} == {RunState.RUNNING}


def test_a_run_whose_holder_died_is_taken_over_and_the_former_holder_writes_nothing(
    database: Database, leases: TrainingLeases
) -> None:
    run_id = queue(database)
    former = claimed(leases)
    expire(database)
    holder = claimed(leases)
    assert (holder.run_id, run_of(database, run_id).expiries) == (run_id, 1)
    for act in (
        lambda: leases.beat(former, 60),
        lambda: leases.tell(former, "progress", {}),
        lambda: leases.give_back(former),
        lambda: leases.end(former, RunState.FAILED, "x"),
        lambda: leases.read(former),
    ):
        with pytest.raises(LeaseLostError):
            act()
    with database.transaction() as session, pytest.raises(LeaseLostError):
        complete(session, former, bundle_version=None, report={}, artifacts="x", detail="x")
    assert leases.beat(holder, 60) is False


def test_a_heartbeat_keeps_the_run_and_hears_of_its_cancellation(database: Database, leases: TrainingLeases) -> None:
    run_id = queue(database)
    holder = claimed(leases)
    expire(database)
    assert leases.beat(holder, 60) is False
    assert leases.waiting() == 0
    assert TrainingRuns(database).cancel(ME, run_id)
    assert leases.beat(holder, 60) is True
    leases.end(holder, RunState.CANCELLED)
    assert run_of(database, run_id).state == RunState.CANCELLED
    assert not TrainingRuns(database).cancel(ME, run_id)


def test_a_cancellation_that_the_holder_did_not_live_to_see_is_kept(database: Database, leases: TrainingLeases) -> None:
    run_id = queue(database)
    claimed(leases)
    TrainingRuns(database).cancel(ME, run_id)
    expire(database)
    assert leases.claim(60) is None
    assert run_of(database, run_id).state == RunState.CANCELLED


def test_a_run_that_takes_its_workers_down_fails(database: Database, leases: TrainingLeases) -> None:
    run_id = queue(database)
    for _ in range(DEAD_AFTER_EXPIRIES):
        leases.let_expire(claimed(leases))
    assert leases.claim(60) is None
    run = run_of(database, run_id)
    assert (run.state, run.detail) == (RunState.FAILED, "3 training workers died or hung while it ran")


def test_a_run_that_is_given_back_is_no_worse_for_it(database: Database, leases: TrainingLeases) -> None:
    run_id = queue(database)
    leases.give_back(claimed(leases))
    assert (run_of(database, run_id).state, run_of(database, run_id).expiries) == (RunState.QUEUED, 0)
    assert claimed(leases).run_id == run_id


def test_what_a_run_tells_is_kept_in_order(database: Database, leases: TrainingLeases) -> None:
    run_id = queue(database)
    holder = claimed(leases)
    leases.tell(holder, "stage", {"stage": "data"})
    leases.tell(holder, "progress", {"step": 1}, event=False)
    leases.tell(holder, "progress", {"step": 21})
    leases.end(holder, RunState.FAILED, "no data")
    runs = TrainingRuns(database)
    events = [(event.kind, event.data) for event in runs.events(run_id)]
    assert [kind for kind, _ in events] == ["state", "state", "stage", "progress", "state"]
    assert events[3][1] == {"step": 21}
    assert events[-1][1]["detail"] == "no data"
    assert run_of(database, run_id).progress == {"step": 21}
    assert len(runs.events(run_id, after=runs.events(run_id)[2].id)) == 2


def test_a_recipe_has_one_active_run_unless_more_are_asked_for(
    database: Database, leases: TrainingLeases, together: Callable[..., list[Any]]
) -> None:
    answers = together(*[lambda: queue(database)] * 4)
    assert sorted(type(answer) is ActiveRunError for answer in answers) == [False, True, True, True]
    queue(database, "cifake")
    with pytest.raises(ActiveRunError, match="is active: wait for it, cancel it"):
        queue(database)
    beside = queue(database, allow_parallel=True)
    leases.end(claimed(leases), RunState.FAILED, "x")
    TrainingRuns(database).cancel(ME, beside)
    queue(database)


def test_a_run_sees_the_labels_that_there_were_when_it_was_asked_for(
    database: Database, leases: TrainingLeases
) -> None:
    run = TrainingRuns(database).queue(ME, "wild", {"minutes": 3.0})
    assert run.parameters == {"minutes": 3.0, "labels_until": 0}
    assert leases.read(claimed(leases)).parameters == run.parameters


def test_a_run_that_is_cancelled_at_the_very_end_makes_nothing(database: Database, leases: TrainingLeases) -> None:
    run_id = queue(database)
    holder = claimed(leases)
    assert TrainingRuns(database).cancel(ME, run_id)
    with database.transaction() as session, pytest.raises(LeaseLostError, match="to be cancelled"):
        complete(session, holder, bundle_version=None, report={}, artifacts="x", detail="x")
    assert leases.beat(holder, 60) is True


def test_the_runs_that_have_ended_are_told_apart(database: Database, leases: TrainingLeases) -> None:
    done, running, waiting = (queue(database, name) for name in ("a", "b", "c"))
    leases.end(claimed(leases), RunState.FAILED, "x")
    claimed(leases)
    assert leases.ended([done, running, waiting, 999]) == [done]
    assert leases.ended([]) == []
