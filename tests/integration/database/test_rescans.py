"""Rescans are made once for an image and a bundle, and replays leave a trace."""

import pytest

from tests.integration.api.conftest import BUNDLE, Rows
from worker.database.audit import Actor, Audit
from worker.database.dead_scans import DeadScans
from worker.database.promotion import Bundles, UnknownBundleError
from worker.database.rescans import NeverPromotedError, NoChampionError, Rescans
from worker.database.served import Queries
from worker.database.session import Database
from worker.database.tables import ScanKind, ScanState

pytestmark = pytest.mark.integration

ME = Actor("me", request_id="r1")


@pytest.fixture
def rescans(database: Database) -> Rescans:
    return Rescans(database)


def test_images_are_scanned_again_by_the_champion_and_the_unknown_are_named(
    rescans: Rescans, rows: Rows, database: Database
) -> None:
    rows.image("cat")
    newest = rows.image("cat", version="v2")
    rows.image("gone", erased_at="2026-01-01T00:00:00Z")
    with pytest.raises(NoChampionError):
        rescans.of_images(ME, ["cat"])
    with pytest.raises(NeverPromotedError, match="promote it, or let it scan in shadow"):  # it would be served
        rescans.of_images(ME, ["cat"], BUNDLE)
    Bundles(database).promote(ME, BUNDLE, "first")
    requested = rescans.of_images(ME, ["cat", "gone", "nobody", "cat"])
    (scan_id,) = requested.scan_ids
    found = Queries(database).scan(scan_id)
    assert found is not None
    scan = found[0]
    assert (scan.image_pk, scan.kind, scan.queue, scan.state) == (newest, ScanKind.RESCAN, "scan.bulk", "queued")
    assert (scan.bundle_version, requested.unknown) == (BUNDLE, ["gone", "nobody"])
    assert rescans.of_images(ME, ["cat"]).scan_ids == []


def test_all_under_a_prefix_are_scanned_again_whatever_stands_in_it(
    rescans: Rescans, rows: Rows, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    Bundles(database).promote(ME, BUNDLE, "first")
    for number, key in enumerate(("a_%/1", "a_%/2", "axx/3", "b/a_%/4")):
        rows.image(f"i{number}", key=key)
    rows.image("elsewhere", key="a_%/1", bucket="other")
    monkeypatch.setattr("worker.database.rescans.EXAMINED_AT_ONCE", 3)
    first = rescans.of_prefix(ME, "uploads", "a_%/", bundle_version=BUNDLE)
    assert len(first.scan_ids) == 2
    assert first.next_after is not None
    rest = rescans.of_prefix(ME, "uploads", "a_%/", bundle_version=BUNDLE, after=first.next_after)
    assert (rest.scan_ids, rest.next_after) == ([], None)
    with pytest.raises(UnknownBundleError):
        rescans.of_prefix(ME, "uploads", "", bundle_version="nobody")


def test_a_replay_is_written_down_and_what_changes_nothing_is_not(rows: Rows, database: Database) -> None:
    scan = rows.scan(rows.image("cat"), ScanState.DEAD)
    assert [DeadScans(database).replay(ME, scan) for _ in range(2)] == [True, False]
    (entry,) = Audit(database).page(limit=9)
    assert (entry.actor, entry.action, entry.target, entry.request_id) == ("me", "scan.replay", f"scan:{scan}", "r1")
