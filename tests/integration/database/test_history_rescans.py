"""History is scanned again by filter and rate, nothing twice, and never before live images."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tests.conftest import Scanned
from worker.database.audit import Actor, Audit
from worker.database.bundles import register_bundle
from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.policies import Policies
from worker.database.promotion import Bundles, UnknownBundleError
from worker.database.rescan_filter import RescanFilter
from worker.database.rescans import NeverPromotedError, NoChampionError, Rescans
from worker.database.scans import ImageFacts, Scans
from worker.database.session import Database
from worker.database.tables import Rescan, RescanState, Scan
from worker.decisions.policy import PolicyTerms
from worker.decisions.vocabulary import VerdictValue

pytestmark = pytest.mark.integration

ME = Actor("me")
IMAGES = 6


@pytest.fixture
def rescans(scanned: Scanned) -> Rescans:
    """Six judged images, the last two flagged; and a second bundle that served once."""
    scanned.crown("b1")
    with scanned.database.transaction() as session:
        register_bundle(session, version="b2", name="wild", location="bundles/b2", card={})
        session.execute(text("UPDATE bundle SET promoted_at = now() WHERE version = 'b2'"))  # it has served before
    for number in range(IMAGES):
        scanned.arrive(f"{number}.png")
    judge(scanned, LIVE_QUEUE, lambda image: 0.9 if image > IMAGES - 2 else 0.3)
    return Rescans(scanned.database)


def judge(scanned: Scanned, queue: str, probability: Callable[[int], float]) -> list[int]:
    scans, done = Scans(scanned.database), []
    for scan_id in scanned.dispatch(queue):
        lease = scans.lease(scan_id, 60)
        assert lease is not None
        p = probability(lease.image.id)
        row: dict[str, Any] = {"verdict": "ai_generated" if p > 0.5 else "uncertain", "probability": p}
        row |= {"decided_by": "machine", "detectors": {}, "provenance": {}}
        row |= {"bundle_version": lease.bundle_version, "policy_version": lease.policy.version}
        scans.complete(lease, row, [], ImageFacts("00", 1, 1, 1), {})
        done.append(lease.image.id)
    return done


def later(scanned: Scanned, seconds: int = 5) -> None:
    with scanned.database.transaction() as session:
        back = text("UPDATE rescan SET stepped_at = stepped_at - make_interval(secs => :seconds)")
        session.execute(back, {"seconds": seconds})


def ask(rescans: Rescans, wanted: RescanFilter | None = None, rate: float = 100.0) -> Rescan:
    return rescans.add(ME, wanted or RescanFilter(), rate=rate, reason="tests", bundle_version="b2")


def test_all_of_history_is_scanned_once_by_the_named_bundle(scanned: Scanned, rescans: Rescans) -> None:
    asked = ask(rescans)
    later(scanned)
    assert rescans.step() == IMAGES
    rescan = rescans.get(asked.id)
    assert rescan is not None
    assert (rescan.state, rescan.examined, rescan.queued) == (RescanState.COMPLETED, IMAGES, IMAGES)
    assert judge(scanned, BULK_QUEUE, lambda _: 0.1) == list(range(1, IMAGES + 1))
    assert [one.bundle_version for one in scanned.verdicts()] == ["b1"] * IMAGES + ["b2"] * IMAGES
    ask(rescans)
    later(scanned)
    assert rescans.step() == 0


def test_scans_are_made_no_faster_than_the_rate_says(scanned: Scanned, rescans: Rescans) -> None:
    asked = ask(rescans, rate=1.0)
    assert rescans.step() == 0
    later(scanned, 2)
    assert rescans.step() == 2
    assert rescans.step() == 0
    later(scanned, 3600)
    assert rescans.step() == IMAGES - 2
    later(scanned)
    rescans.step()
    rescan = rescans.get(asked.id)
    assert rescan is not None
    assert (rescan.state, rescan.queued) == (RescanState.COMPLETED, IMAGES)


def test_a_rate_of_one_in_a_minute_makes_one_in_a_minute(scanned: Scanned, rescans: Rescans) -> None:
    ask(rescans, rate=1 / 60)
    for _ in range(2):
        later(scanned, 59)
        assert rescans.step() == 0
        later(scanned, 2)
        assert rescans.step() == 1
        judge(scanned, BULK_QUEUE, lambda _: 0.3)


@pytest.mark.parametrize(
    ("wanted", "images"),
    [
        (RescanFilter(verdict=VerdictValue.AI_GENERATED), 2),
        (RescanFilter(max_probability=0.5), 4),
        (RescanFilter(min_probability=0.5, source="uploads"), 2),
        (RescanFilter(source="elsewhere"), 0),
        (RescanFilter(bucket="uploads", prefix="3"), 1),
        (RescanFilter(bucket="other", prefix="3"), 0),
        (RescanFilter(bucket="uploads", verdict=VerdictValue.AI_GENERATED), 2),
        (RescanFilter(judged_by="b1"), IMAGES),
        (RescanFilter(judged_by="b2"), 0),
    ],
)
def test_only_what_the_filter_names_is_scanned(
    scanned: Scanned, rescans: Rescans, wanted: RescanFilter, images: int
) -> None:
    ask(rescans, wanted)
    later(scanned)
    assert rescans.step() == images


def test_history_waits_while_live_images_do(scanned: Scanned, rescans: Rescans) -> None:
    ask(rescans)
    later(scanned)
    live = scanned.arrive("new.png")
    with scanned.database.transaction() as session:
        session.execute(text("UPDATE scan SET created_at = now() - interval '1 minute' WHERE id = :id"), {"id": live})
    assert rescans.step() == 0
    judge(scanned, LIVE_QUEUE, lambda _: 0.3)
    # What came after the wish is no history.
    assert rescans.step() == IMAGES


def test_two_dispatchers_make_no_scan_twice(
    scanned: Scanned, rescans: Rescans, together: Callable[..., list[Any]]
) -> None:
    ask(rescans)
    later(scanned)
    assert sum(together(*[lambda: Rescans(Database(scanned.database.engine)).step()] * 4)) == IMAGES
    with scanned.database.transaction() as session:
        assert session.query(Scan).filter(Scan.kind == "rescan").count() == IMAGES


def test_a_cancelled_rescan_makes_no_more_scans(scanned: Scanned, rescans: Rescans) -> None:
    asked = ask(rescans)
    assert rescans.cancel(ME, asked.id)
    later(scanned)
    assert rescans.step() == 0
    assert not rescans.cancel(ME, asked.id)
    assert [one.state for one in rescans.page(limit=9)] == [RescanState.CANCELLED]


def test_a_bundle_that_nobody_knows_or_ever_promoted_rescans_nothing(rescans: Rescans, database: Database) -> None:
    with pytest.raises(UnknownBundleError):
        rescans.add(ME, RescanFilter(), rate=1, reason="tests", bundle_version="nobody")
    with database.transaction() as session:
        register_bundle(session, version="b3", name="wild", location="bundles/b3", card={})
    with pytest.raises(NeverPromotedError):
        rescans.add(ME, RescanFilter(), rate=1, reason="tests", bundle_version="b3")
    with database.transaction() as session:
        session.execute(text("UPDATE bundle SET role = 'registered'"))
    with pytest.raises(NoChampionError):
        rescans.add(ME, RescanFilter(), rate=1, reason="tests")


def test_what_a_bad_bundle_said_of_images_judged_before_is_unsaid_under_the_policy_set_anew(
    scanned: Scanned, rescans: Rescans
) -> None:
    ask(rescans)
    later(scanned)
    rescans.step()
    judge(scanned, BULK_QUEUE, lambda _: 0.9)

    def go_back() -> int:
        """As docs/operations.md says: what `b2` judged, once more by the one that served before."""
        rescans.add(ME, RescanFilter(judged_by="b2"), rate=100.0, reason="tests", bundle_version="b1")
        later(scanned)
        return rescans.step()

    # An image has one verdict of a bundle and a policy: those of `b1` are there, below those of `b2`.
    assert go_back() == 0
    policies = Policies(scanned.database)
    (policy,) = policies.page(limit=1)
    terms = PolicyTerms(policy.prior_shift, policy.false_positive_budget, policy.miss_budget, dict(policy.by_source))
    policies.add(ME, terms)
    assert go_back() == IMAGES
    judge(scanned, BULK_QUEUE, lambda _: 0.3)
    newest = {verdict.image_pk: verdict for verdict in sorted(scanned.verdicts(), key=lambda verdict: verdict.id)}
    assert {verdict.bundle_version for verdict in newest.values()} == {"b1"}


def test_a_rollback_ends_the_rescans_by_the_bundle_that_it_takes_back(scanned: Scanned, rescans: Rescans) -> None:
    bundles = Bundles(scanned.database)
    bundles.promote(ME, "b2", "better", force=True)
    bad, other = ask(rescans), rescans.add(ME, RescanFilter(), rate=1, reason="tests", bundle_version="b1")
    bundles.roll_back(ME, "flags jumped")
    states = {one.id: one.state for one in rescans.page(limit=9)}
    assert states == {bad.id: RescanState.CANCELLED, other.id: RescanState.RUNNING}
    later(scanned)
    assert rescans.step() == 0
    assert {entry.action: entry.target for entry in Audit(scanned.database).page(limit=2)} == {
        "bundle.roll_back": "bundle:b1",
        "rescan.cancel": f"rescan:{bad.id}",
    }
