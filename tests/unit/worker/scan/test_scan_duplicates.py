"""Images of the same bytes: one is looked at, the others take over what it got; and heatmaps that were asked for."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.support.decoders import LocalDecoders
from tests.support.fakes import FakeBundle
from tests.support.provenance import make_authority
from tests.unit.worker.scan.scan_world import (
    ARTIFACTS,
    BETWEEN,
    CLEAR,
    FLAGGED,
    UPLOADS,
    Bundles,
    World,
    grey,
)
from worker.database.tables import ScanState
from worker.decoders.look import Look
from worker.errors import TransientError


class LookCounter(LocalDecoders):
    """Decoders that count the images whose pixels were looked at."""

    looks = 0

    def look(self, *about: Any, **options: Any) -> Look:
        self.looks += 1
        return super().look(*about, **options)


def looked_at(world: World) -> int:
    """Return how many images went through a forward pass."""
    return sum(len(batch) for batch in world.bundles.bundle.batches)


def test_the_second_of_two_equal_images_takes_over_what_the_first_got(world: World) -> None:
    first_id, second_id = world.upload(grey(BETWEEN), "a.png"), world.upload(grey(BETWEEN), "b.png")
    first, second = world.scan(first_id), world.scan(second_id)
    assert looked_at(world) == 1
    assert first.verdict is not None
    assert second.verdict == {**first.verdict, "decided_by": "duplicate", "duplicate_of": first_id}
    assert second.facts == first.facts


def test_nothing_of_a_duplicate_is_decoded(make_world: Callable[..., World]) -> None:
    decoders = LookCounter()
    world = make_world(decoders=decoders)
    for key in ("a.png", "b.png", "c.png"):
        world.scan(world.upload(grey(CLEAR), key))
    assert decoders.looks == 1


@pytest.mark.parametrize("brightness", [FLAGGED, CLEAR])
def test_many_at_once_cost_one_pass(world: World, brightness: int) -> None:
    scan_ids = [world.upload(grey(brightness), f"{number}.png") for number in range(200)]
    with ThreadPoolExecutor(16) as pool:
        scans = list(pool.map(world.scan, scan_ids))
    assert looked_at(world) == 1
    assert {scan.state for scan in scans} == {ScanState.COMPLETED}
    verdicts = [scan.verdict for scan in scans if scan.verdict is not None]
    originals = [scan_id for scan_id, verdict in zip(scan_ids, verdicts, strict=True) if "duplicate_of" not in verdict]
    assert len(originals) == 1
    assert {verdict.get("duplicate_of") for verdict in verdicts} == {None, *originals}


def test_other_images_do_not_wait_for_each_other(make_world: Callable[..., World]) -> None:
    world = make_world(max_batch=8)
    scan_ids = [world.upload(grey(brightness), f"{brightness}.png") for brightness in range(1, 40)]
    with ThreadPoolExecutor(16) as pool:
        scans = list(pool.map(world.scan, scan_ids))
    assert looked_at(world) == 39
    assert all(scan.verdict and scan.verdict["decided_by"] == "machine" for scan in scans)


def test_when_the_first_fails_the_next_is_looked_at(make_world: Callable[..., World]) -> None:
    world = make_world(bundles=Bundles(FakeBundle(poison=frozenset({66}))))
    scan_ids = [world.upload(grey(66), f"{number}.png") for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        scans = list(pool.map(world.scan, scan_ids))
    assert [(scan.state, scan.attempts) for scan in scans] == [(ScanState.QUEUED, 1)] * 3
    world.bundles.bundle.poison = frozenset()
    for scan_id in scan_ids:
        world.scans.dispatch(scan_id)
    deciders = [scan.verdict["decided_by"] for scan in map(world.scan, scan_ids) if scan.verdict]
    assert deciders == ["machine", "duplicate", "duplicate"]


@pytest.mark.parametrize("what", ["bundle", "policy"])
def test_what_another_bundle_or_policy_said_is_not_taken_over(world: World, what: str) -> None:
    world.scan(world.upload(grey(CLEAR), "a.png"))
    if what == "bundle":
        world.scans._bundle_version = "fake-2"
    else:
        world.scans._policy.version = 2
    second = world.scan(world.upload(grey(CLEAR), "b.png"))
    assert looked_at(world) == 2
    assert second.verdict is not None
    assert second.verdict["decided_by"] == "machine"


def test_a_duplicate_from_another_source_is_judged_by_that_source_s_rules(world: World) -> None:
    world.scans._policy.by_source = {"lenient": {"miss_budget": 0.5}, "strict": {"false_positive_budget": 0.5}}
    verdicts = []
    for key in ("usual", "lenient", "strict"):
        scan_id = world.upload(grey(BETWEEN), key)
        world.scans.scans[scan_id].image.source = key
        scan = world.scan(scan_id)
        assert scan.verdict is not None
        verdicts.append((scan.verdict["verdict"], scan.verdict["decided_by"], len(scan.heatmaps), looked_at(world)))
    assert verdicts == [
        ("uncertain", "machine", 0, 1),
        ("not_ai_generated", "duplicate", 0, 1),
        ("ai_generated", "machine", 2, 2),  # flagged for the first time, it needs heatmaps
    ]


def test_a_flagged_duplicate_has_heatmaps_of_its_own(world: World) -> None:
    first_id, second_id = world.upload(grey(FLAGGED), "a.png"), world.upload(grey(FLAGGED), "b.png")
    first, second = world.scan(first_id), world.scan(second_id)
    assert len(world.objects.keys(ARTIFACTS)) == 8
    assert [heatmap["key"] for heatmap in second.heatmaps] == [
        f"heatmaps/{second.image.id}/{second_id}/{detector}.png" for detector in ("clip", "convnext")
    ]
    for one, other in zip(first.heatmaps, second.heatmaps, strict=True):
        read = partial(world.objects.read, ARTIFACTS, max_bytes=1000)
        assert read(one["key"]) == read(other["key"])
        assert read(one["raw_key"]) == read(other["raw_key"])


def test_a_trusted_signature_decides_on_a_duplicate_too(make_world: Callable[..., World]) -> None:
    authority = make_authority()
    world = make_world(decoders=LocalDecoders(anchors=authority.anchor))
    signed = authority.sign(grey(CLEAR, (64, 64)), mime="image/png")
    first_id = world.upload(signed, "a.png")
    world.scan(first_id)
    second = world.scan(world.upload(signed, "b.png"))
    assert second.verdict is not None
    assert (second.verdict["verdict"], second.verdict["decided_by"]) == ("ai_generated", "provenance")
    assert second.verdict["duplicate_of"] == first_id


@pytest.mark.parametrize("brightness", [FLAGGED, CLEAR])
def test_heatmaps_that_were_asked_for_are_made_whatever_the_verdict(world: World, brightness: int) -> None:
    world.scan(world.upload(grey(brightness), "a.png"))
    version = world.objects.put(UPLOADS, "b.png", grey(brightness))
    scan_id = world.scans.add(UPLOADS, "b.png", version, only_heatmaps=True)
    scan = world.scan(scan_id)
    assert (scan.state, scan.verdict) == (ScanState.COMPLETED, None)
    assert [heatmap["detector"] for heatmap in scan.heatmaps] == ["clip", "convnext"]
    assert f"heatmaps/{scan.image.id}/{scan_id}/clip.npy" in world.objects.keys(ARTIFACTS)


def test_heatmaps_that_were_asked_for_and_cannot_be_made_are_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_batch: Any) -> Any:
        raise TransientError

    scan_id = world.scans.add(UPLOADS, "a.png", world.objects.put(UPLOADS, "a.png", grey(CLEAR)), only_heatmaps=True)
    monkeypatch.setattr(world.bundles.bundle, "heatmaps", fails)
    assert world.scan(scan_id).state is ScanState.QUEUED
    monkeypatch.undo()
    world.scans.dispatch(scan_id)
    assert len(world.scan(scan_id).heatmaps) == 2
