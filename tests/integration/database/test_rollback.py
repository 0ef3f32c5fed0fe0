"""A rollback serves again what was served before, at once and without rewriting a row."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.integration.database.two_bundles import BAD, GOOD, ME, World
from worker.database.heatmap_requests import HeatmapRequests
from worker.database.images import BULK_QUEUE
from worker.database.labels import Labels
from worker.database.rescan_filter import RescanFilter
from worker.database.rescans import Rescans, WithdrawnBundleError
from worker.database.scans import Scans
from worker.database.tables import LabelValue, Rescan, RescanState, Scan, ScanKind
from worker.database.withdrawal import queue_if_withdrawn
from worker.decisions.vocabulary import VerdictValue

pytestmark = pytest.mark.integration

AI, NOT_AI, UNCERTAIN = VerdictValue.AI_GENERATED, VerdictValue.NOT_AI_GENERATED, VerdictValue.UNCERTAIN
WORSE = "worse"


def test_what_was_served_before_is_served_again_at_once(world: World) -> None:
    world.image("both", (GOOD, NOT_AI), (BAD, AI))
    before = world.now()

    world.bundles.roll_back(ME, "flags jumped")

    assert world.verdict("both") == (GOOD, NOT_AI)
    assert world.verdict("both", before) == (BAD, AI)


def test_an_image_that_only_the_bundle_that_left_has_judged_is_pending_and_queued_for_the_restored_one(
    world: World,
) -> None:
    world.image("only bad", (BAD, AI))
    world.image("both", (GOOD, NOT_AI), (BAD, AI))

    world.bundles.roll_back(ME, "flags jumped")

    served = world.served("only bad")
    assert (served.verdict, served.withdrawn) == (None, True)
    assert not world.served("both").withdrawn
    assert world.queued() == [("only bad", GOOD, BULK_QUEUE)]
    world.complete(world.leased(BULK_QUEUE), UNCERTAIN)
    assert world.verdict("only bad") == (GOOD, UNCERTAIN)
    assert not world.served("only bad").withdrawn


def test_the_newest_images_without_a_verdict_come_first(world: World) -> None:
    images = [world.image(f"{number}.jpg", (BAD, AI)) for number in range(3)]
    world.bundles.roll_back(ME, "flags jumped")
    with world.scanned.database.transaction() as session:
        rescans = select(Scan.image_pk).where(Scan.kind == ScanKind.RESCAN).order_by(Scan.due_at)
        assert list(session.scalars(rescans)) == images[::-1]
    late = world.image("late.jpg", (BAD, AI))
    with world.scanned.database.transaction() as session:
        queue_if_withdrawn(session, late)
        assert late in list(session.scalars(rescans))[:2]


def test_an_image_that_waits_for_its_first_verdict_is_not_withdrawn(world: World) -> None:
    world.scanned.arrive("new")
    world.bundles.roll_back(ME, "flags jumped")
    assert not world.served("new").withdrawn
    assert world.queued() == []


def test_human_decisions_stay(world: World) -> None:
    world.image("judged", (BAD, AI))
    Labels(world.scanned.database).add(ME, "judged", LabelValue.NOT_AI_GENERATED, reviewer="anna", reason="a photo")

    world.bundles.roll_back(ME, "flags jumped")

    assert world.verdict("judged") == ("person", NOT_AI)
    assert world.queued() == []


def test_promoting_the_bundle_again_lifts_the_mark(world: World) -> None:
    world.image("both", (GOOD, NOT_AI), (BAD, AI))
    world.bundles.roll_back(ME, "flags jumped")
    between = world.now()

    world.bundles.promote(ME, BAD, "it was right", force=True)

    assert world.verdict("both") == (BAD, AI)
    assert world.verdict("both", between) == (GOOD, NOT_AI)


def test_two_rollbacks_withdraw_two_bundles_and_queue_what_neither_spares(world: World) -> None:
    world.promote(WORSE)
    world.image("all", (GOOD, NOT_AI), (BAD, UNCERTAIN), (WORSE, AI))
    world.image("two", (BAD, UNCERTAIN), (WORSE, AI))
    world.image("last", (WORSE, AI))

    world.bundles.roll_back(ME, "flags jumped")
    assert [world.verdict(image) for image in ("all", "two", "last")] == [(BAD, UNCERTAIN), (BAD, UNCERTAIN), None]
    assert world.queued() == [("last", BAD, BULK_QUEUE)]

    world.bundles.roll_back(ME, "still wrong")
    assert [world.verdict(image) for image in ("all", "two", "last")] == [(GOOD, NOT_AI), None, None]
    assert world.queued() == [("last", GOOD, BULK_QUEUE), ("two", GOOD, BULK_QUEUE)]


def test_a_changed_verdict_is_told_once_whichever_way_the_champion_goes(world: World) -> None:
    world.listen()
    world.image("changes", (GOOD, NOT_AI), (BAD, AI))
    world.image("stays", (GOOD, AI), (BAD, AI))
    world.image("comes", (BAD, AI))
    assert world.changes() == [("changes", AI, NOT_AI)]

    world.bundles.roll_back(ME, "flags jumped")
    assert world.changes()[1:] == [("changes", NOT_AI, AI)]
    world.complete(world.leased(BULK_QUEUE), NOT_AI)
    assert world.changes()[2:] == [("comes", NOT_AI, AI)]

    world.bundles.promote(ME, BAD, "it was right", force=True)
    assert world.changes()[3:] == [("changes", AI, NOT_AI)]


def test_a_scan_under_way_by_the_bundle_that_leaves_is_done_again_by_the_restored_one(world: World) -> None:
    world.scanned.arrive("late")
    lease = world.leased("scan.live")
    assert lease.bundle_version == BAD

    world.bundles.roll_back(ME, "flags jumped")
    world.complete(lease, AI)

    assert world.served("late").withdrawn
    assert world.queued() == [("late", GOOD, BULK_QUEUE)]


def test_a_scan_that_ends_at_the_moment_of_the_rollback_leaves_no_image_without_a_verdict_to_come(
    world: World, together: Callable[..., list[Any]]
) -> None:
    for number in range(12):
        world.scanned.arrive(f"image {number}")
    scans = Scans(world.scanned.database)
    leases = [scans.lease(scan_id, 60) for scan_id in world.scanned.dispatch()]

    ends = [lambda lease=lease: world.complete(lease, AI) for lease in leases if lease]
    together(*ends, lambda: world.bundles.roll_back(ME, "flags jumped"))

    assert [image_id for image_id, *_ in world.queued()] == sorted(f"image {number}" for number in range(12))
    assert {version for _, version, _ in world.queued()} == {GOOD}


def test_rescans_by_the_bundle_that_leaves_end_and_open_ones_are_done_by_the_restored_one(world: World) -> None:
    database = world.scanned.database
    world.image("both", (GOOD, NOT_AI), (BAD, AI))
    asked = Rescans(database).of_images(ME, ["both"])
    assert asked.bundle_version == BAD
    history = Rescans(database).add(ME, RescanFilter(), rate=1, reason="new bundle")

    world.bundles.roll_back(ME, "flags jumped")

    with database.transaction() as session:
        assert session.get_one(Rescan, history.id).state == RescanState.CANCELLED
    assert world.queued() == [("both", GOOD, BULK_QUEUE)]
    with pytest.raises(WithdrawnBundleError):
        Rescans(database).of_images(ME, ["both"], BAD)
    with pytest.raises(WithdrawnBundleError):
        Rescans(database).add(ME, RescanFilter(), rate=1, reason="again", bundle_version=BAD)


def test_a_filter_of_history_sees_what_is_served_now(world: World) -> None:
    world.image("both", (GOOD, NOT_AI), (BAD, AI))
    world.bundles.roll_back(ME, "flags jumped")
    rescans = Rescans(world.scanned.database)
    world.promote(WORSE)

    def images_of(verdict: VerdictValue) -> list[str]:
        wanted = rescans.add(ME, RescanFilter(verdict=verdict), rate=1000, reason="look again")
        with world.scanned.database.transaction() as session:
            session.get_one(Rescan, wanted.id).stepped_at -= timedelta(seconds=5)
        rescans.step()
        return [image_id for image_id, *_ in world.queued()]

    assert images_of(AI) == []
    assert images_of(NOT_AI) == ["both"]


def test_heatmaps_are_asked_of_what_is_served(world: World) -> None:
    world.image("both", (GOOD, NOT_AI), (BAD, AI))
    world.bundles.roll_back(ME, "flags jumped")
    HeatmapRequests(world.scanned.database).ask(ME, "both")
    with world.scanned.database.transaction() as session:
        asked = session.scalars(select(Scan.bundle_version).where(Scan.kind == ScanKind.HEATMAP)).all()
    assert asked == [GOOD]
