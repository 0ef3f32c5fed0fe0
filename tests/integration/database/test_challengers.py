"""A challenger scans its share of the live images in shadow, unseen, until gate and shadow let it be promoted."""

from typing import Any

import pytest

from tests.conftest import Scanned
from worker.database.audit import Actor, Audit
from worker.database.bundles import register_bundle
from worker.database.challengers import Challengers, NotChallengerError, OtherChallengerError
from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.promotion import AlreadyChampionError, BarredError, Bundles, UnknownBundleError
from worker.database.scans import ImageFacts, Lease, Scans
from worker.database.served import Queries
from worker.database.tables import Bundle, BundleRole, ScanKind, ScanState
from worker.decisions.vocabulary import DecidedBy
from worker.errors import LeaseLostError

pytestmark = pytest.mark.integration

ME = Actor("me")
FACTS = ImageFacts(sha256="00ff", size_bytes=7, width=3, height=2)
PASSED = {"passed": True, "rules": [], "champion": "b1"}


@pytest.fixture
def challengers(scanned: Scanned) -> Challengers:
    scanned.crown("b1")
    with scanned.database.transaction() as session:
        for version in ("b2", "b3"):
            register_bundle(session, version=version, name="wild", location=f"bundles/{version}", card={})
    return Challengers(scanned.database)


def judge(
    scanned: Scanned, queue: str, verdicts: dict[str, str], decided_by: DecidedBy = DecidedBy.MACHINE
) -> list[Lease]:
    """Scan what is due in a queue, each bundle giving its verdict."""
    scans, leases = Scans(scanned.database), []
    for scan_id in scanned.dispatch(queue):
        lease = scans.lease(scan_id, 60)
        assert lease is not None
        complete(scanned, lease, verdicts[lease.bundle_version], decided_by)
        leases.append(lease)
    return leases


def complete(scanned: Scanned, lease: Lease, verdict: str, decided_by: DecidedBy = DecidedBy.MACHINE) -> None:
    """End a scan with a verdict."""
    row: dict[str, Any] = {"verdict": verdict, "decided_by": decided_by, "detectors": {}, "provenance": {}}
    row |= {"probability": {"ai_generated": 0.9, "uncertain": 0.5, "not_ai_generated": 0.1}[verdict]}
    row |= {"bundle_version": lease.bundle_version, "policy_version": lease.policy.version}
    Scans(scanned.database).complete(lease, row, [], FACTS, {})


def gate(scanned: Scanned, version: str, report: dict[str, Any]) -> None:
    with scanned.database.transaction() as session:
        session.get_one(Bundle, version).gate = report


def test_every_live_scan_of_the_share_brings_one_in_shadow_and_no_other_scan_does(
    scanned: Scanned, challengers: Challengers
) -> None:
    challengers.challenge(ME, "b2", 1.0, "from run 1")
    for number in range(3):
        scanned.arrive(f"{number}.png")
    judge(scanned, LIVE_QUEUE, {"b1": "not_ai_generated"})
    shadows = judge(scanned, BULK_QUEUE, {"b2": "ai_generated"})
    assert [(lease.bundle_version, lease.shadow) for lease in shadows] == [("b2", True)] * 3
    assert {scanned.scan(lease.scan_id).kind for lease in shadows} == {ScanKind.SHADOW}
    assert scanned.dispatch(BULK_QUEUE) == []
    served = Queries(scanned.database).served("0.png")
    assert served is not None
    assert served.verdict is not None
    assert (served.verdict.bundle_version, served.verdict.verdict) == ("b1", "not_ai_generated")
    assert served.scan is not None
    assert served.scan.state == ScanState.COMPLETED


def test_a_small_share_leaves_most_images_alone(scanned: Scanned, challengers: Challengers) -> None:
    challengers.challenge(ME, "b2", 0.1, "a tenth")
    for number in range(60):
        scanned.arrive(f"{number}.png")
    judge(scanned, LIVE_QUEUE, {"b1": "uncertain"})
    assert 0 < len(scanned.dispatch(BULK_QUEUE)) < 20


def test_the_report_says_what_would_change_and_names_the_images(scanned: Scanned, challengers: Challengers) -> None:
    challengers.challenge(ME, "b2", 1.0, "from run 1")
    scanned.arrive("same.png")
    judge(scanned, LIVE_QUEUE, {"b1": "uncertain"})
    judge(scanned, BULK_QUEUE, {"b2": "uncertain"})
    scanned.arrive("other.png")
    judge(scanned, LIVE_QUEUE, {"b1": "not_ai_generated"})
    judge(scanned, BULK_QUEUE, {"b2": "ai_generated"})
    scanned.arrive("open.png")
    judge(scanned, LIVE_QUEUE, {"b1": "uncertain"})
    report = challengers.report("b2")
    assert (report["images"], report["flips"], report["newly_accused"], report["open"]) == (2, 1, 1, 1)
    assert report["matrix"] == {"not_ai_generated": {"ai_generated": 1}, "uncertain": {"uncertain": 1}}
    (flip,) = challengers.flips("b2", limit=9)
    assert (flip.image.image_id, flip.champion.verdict, flip.challenger.verdict) == (
        "other.png",
        "not_ai_generated",
        "ai_generated",
    )
    assert challengers.flips("b2", limit=9, before=flip.challenger.id) == []


@pytest.mark.parametrize("decided_by", [DecidedBy.DECLARED, DecidedBy.PROVENANCE])
def test_what_files_say_of_themselves_counts_neither_in_the_report_nor_towards_promotion(
    scanned: Scanned, challengers: Challengers, decided_by: DecidedBy
) -> None:
    challengers.challenge(ME, "b2", 1.0, "from run 1")
    gate(scanned, "b2", PASSED)
    scanned.arrive("declared.png")
    judge(scanned, LIVE_QUEUE, {"b1": "uncertain"})
    judge(scanned, BULK_QUEUE, {"b2": "ai_generated"}, decided_by)
    assert (challengers.report("b2")["images"], challengers.flips("b2", limit=9)) == (0, [])
    with pytest.raises(BarredError, match="it has judged 0 of 1 images in shadow"):
        Bundles(scanned.database).promote(ME, "b2", "better", least=1)


def test_one_bundle_challenges_at_a_time_and_the_champion_never(scanned: Scanned, challengers: Challengers) -> None:
    challengers.challenge(ME, "b2", 0.5, "first")
    assert challengers.challenge(ME, "b2", 0.7, "more").shadow_share == 0.7
    with pytest.raises(OtherChallengerError, match="b2"):
        challengers.challenge(ME, "b3", 0.5, "second")
    with pytest.raises(AlreadyChampionError):
        challengers.challenge(ME, "b1", 0.5, "itself")
    for act in (lambda: challengers.challenge(ME, "nobody", 1.0, "x"), lambda: challengers.report("nobody")):
        with pytest.raises(UnknownBundleError):
            act()
    assert challengers.withdraw(ME, "b2", "seen enough").role == BundleRole.REGISTERED
    with pytest.raises(NotChallengerError):
        challengers.withdraw(ME, "b2", "again")
    scanned.arrive("a.png")
    judge(scanned, LIVE_QUEUE, {"b1": "uncertain"})
    assert scanned.dispatch(BULK_QUEUE) == []


def test_a_challenger_that_is_withdrawn_leaves_no_scan_open(scanned: Scanned, challengers: Challengers) -> None:
    challengers.challenge(ME, "b2", 1.0, "from run 1")
    for number in range(3):
        scanned.arrive(f"{number}.png")
    judge(scanned, LIVE_QUEUE, {"b1": "uncertain"})
    waiting, leased = scanned.dispatch(BULK_QUEUE)[:2]
    scans = Scans(scanned.database)
    lease = scans.lease(leased, 60)
    assert lease is not None
    challengers.withdraw(ME, "b2", "its weights are lost")
    assert (challengers.report("b2")["open"], challengers.report("b2")["rejected"]) == (0, 0)
    ended = scanned.scan(waiting)
    assert (ended.state, ended.reason, ended.due_at) == (ScanState.REJECTED, "withdrawn", None)
    assert (scans.lease(waiting, 60), scanned.dispatch(BULK_QUEUE)) == (None, [])
    with pytest.raises(LeaseLostError):
        scans.fail(lease, "no weights", retry_in=1)
    assert len(scanned.verdicts()) == 3


def test_a_challenger_that_is_promoted_leaves_no_shadow_scan_open(scanned: Scanned, challengers: Challengers) -> None:
    """Rolled back later, it challenges no longer, so nobody could end them."""
    challengers.challenge(ME, "b2", 1.0, "from run 1")
    scanned.arrive("a.png")
    judge(scanned, LIVE_QUEUE, {"b1": "uncertain"})
    (waiting,) = scanned.dispatch(BULK_QUEUE)
    Bundles(scanned.database).promote(ME, "b2", "sure of it", least=5, force=True)
    ended = scanned.scan(waiting)
    assert (ended.state, ended.reason) == (ScanState.REJECTED, "withdrawn")


def test_a_live_scan_under_way_brings_no_scan_of_a_challenger_that_is_withdrawn_meanwhile(
    scanned: Scanned, challengers: Challengers
) -> None:
    challengers.challenge(ME, "b2", 1.0, "from run 1")
    scanned.arrive("a.png")
    (scan_id,) = scanned.dispatch(LIVE_QUEUE)
    lease = Scans(scanned.database).lease(scan_id, 60)
    assert lease is not None
    assert lease.challenger is not None
    challengers.withdraw(ME, "b2", "seen enough")
    complete(scanned, lease, "uncertain")
    assert challengers.report("b2")["open"] == 0


def test_promotion_waits_for_gate_and_shadow(scanned: Scanned, challengers: Challengers) -> None:
    bundles = Bundles(scanned.database)
    with pytest.raises(BarredError, match="no gate"):
        bundles.promote(ME, "b2", "early", least=1)
    gate(scanned, "b2", {"passed": False, "rules": [{"name": "calibration", "passed": False}]})
    with pytest.raises(BarredError, match="calibration"):
        bundles.promote(ME, "b2", "early", least=0)
    gate(scanned, "b2", PASSED)
    with pytest.raises(BarredError, match="0 of 1 images"):
        bundles.promote(ME, "b2", "early", least=1)
    challengers.challenge(ME, "b2", 1.0, "shadow")
    scanned.arrive("a.png")
    judge(scanned, LIVE_QUEUE, {"b1": "uncertain"})
    judge(scanned, BULK_QUEUE, {"b2": "uncertain"})
    assert bundles.promote(ME, "b2", "gate and shadow passed", least=1).bundle_version == "b2"
    roles = {bundle.version: (bundle.role, bundle.shadow_share) for bundle in bundles.all()}
    assert roles == {version: (role, None) for version, role in (("b1", "registered"), ("b2", "champion"))} | {
        "b3": ("registered", None)
    }


@pytest.mark.usefixtures("challengers")
def test_force_goes_past_gate_and_shadow_and_the_audit_trail_says_so(scanned: Scanned) -> None:
    Bundles(scanned.database).promote(ME, "b3", "an emergency", least=5, force=True)
    entry = Audit(scanned.database).page(limit=1)[0]
    assert entry.action == "bundle.promote"
    assert entry.detail["in_spite_of"] == [
        "no gate has compared it with a champion",
        "it has judged 0 of 5 images in shadow",
    ]
    assert Bundles(scanned.database).roll_back(ME, "over").bundle_version == "b1"


def test_a_promoted_challenger_judges_again_what_it_judged_in_shadow(
    scanned: Scanned, challengers: Challengers
) -> None:
    challengers.challenge(ME, "b2", 1.0, "shadow")
    scanned.arrive("a.png")
    judge(scanned, LIVE_QUEUE, {"b1": "not_ai_generated"})
    judge(scanned, BULK_QUEUE, {"b2": "ai_generated"})
    gate(scanned, "b2", PASSED)
    Bundles(scanned.database).promote(ME, "b2", "better", least=1)
    scanned.arrive("a.png", version="v2")
    judge(scanned, LIVE_QUEUE, {"b2": "ai_generated"})
    history = [(one.bundle_version, one.shadow, one.verdict) for one in scanned.verdicts()]
    assert history == [
        ("b1", False, "not_ai_generated"),
        ("b2", True, "ai_generated"),
        ("b2", False, "ai_generated"),
    ]


@pytest.mark.usefixtures("challengers")
def test_of_two_that_the_gate_passed_against_one_champion_the_second_is_barred_once_the_first_serves(
    scanned: Scanned,
) -> None:
    bundles = Bundles(scanned.database)
    for version in ("b2", "b3"):
        gate(scanned, version, PASSED)
    bundles.promote(ME, "b2", "the better one")
    with pytest.raises(BarredError, match="the gate compared it with b1"):
        bundles.promote(ME, "b3", "it passed too")
    bundles.roll_back(ME, "worse after all")
    assert bundles.promote(ME, "b3", "compared with this one").bundle_version == "b3"
