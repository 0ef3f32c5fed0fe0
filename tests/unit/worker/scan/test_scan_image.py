"""The story of one image, told with fakes: every way it can end, and that no image pays for another."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

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
from worker.database.scans import Lease
from worker.database.tables import ScanState
from worker.errors import Reason, TransientError, WedgedError
from worker.objects.trouble import ObjectStoreDownError, RefusedError
from worker.objects.versions import ObjectVersion
from worker.provenance.findings import Provenance
from worker.scan.retries import RetryPolicy
from worker.testing.decoders import LocalDecoders
from worker.testing.fakes import FakeBundle, FakeObjects, FakeScans
from worker.testing.provenance import make_authority


@pytest.mark.parametrize(
    ("brightness", "verdict"), [(FLAGGED, "ai_generated"), (BETWEEN, "uncertain"), (CLEAR, "not_ai_generated")]
)
def test_an_image_gets_its_verdict(world: World, brightness: int, verdict: str) -> None:
    scan = world.scan(world.upload(grey(brightness)))
    assert scan.state is ScanState.COMPLETED
    assert scan.verdict is not None
    assert (scan.verdict["verdict"], scan.verdict["decided_by"]) == (verdict, "machine")
    assert (scan.verdict["bundle_version"], scan.verdict["policy_version"]) == ("fake-1", 1)
    assert scan.verdict["probability"] == pytest.approx(brightness / 255)
    assert scan.verdict["lower_threshold"] < scan.verdict["upper_threshold"]
    assert scan.verdict["detectors"].keys() == {"clip", "convnext"}
    assert scan.verdict["detectors"]["clip"].keys() == {"logit", "probability", "engine"}
    assert scan.verdict["provenance"] == Provenance().as_json()
    assert world.bundles.asked == ["fake-1"]


def test_what_was_learnt_of_the_image_and_where_the_time_went_is_kept(world: World) -> None:
    scan = world.scan(world.upload(grey(CLEAR, (300, 20))))
    assert scan.facts is not None
    assert (scan.facts.width, scan.facts.height, scan.facts.size_bytes) == (300, 20, len(grey(CLEAR, (300, 20))))
    assert len(scan.facts.sha256) == 64
    stages = {"fetch", "decode", "provenance", "views", "detect", "heatmap"}
    assert scan.timings.keys() >= stages


def test_an_accusation_comes_with_its_evidence(world: World) -> None:
    scan_id = world.upload(grey(FLAGGED))
    scan = world.scan(scan_id)
    image = scan.image.id
    stems = {detector: f"heatmaps/{image}/{scan_id}/{detector}" for detector in ("clip", "convnext")}
    assert world.objects.keys(ARTIFACTS) == sorted(f"{stem}.{end}" for stem in stems.values() for end in ("npy", "png"))
    named = {"method": "fake", "layer": "none", "bundle_version": "fake-1"}
    assert scan.heatmaps == [
        {"detector": detector, "key": f"{stem}.png", "raw_key": f"{stem}.npy", **named}
        for detector, stem in stems.items()
    ]


def test_a_large_flagged_image_keeps_its_own_size_whatever_its_overlay_has(world: World) -> None:
    scan = world.scan(world.upload(grey(FLAGGED, (1200, 600))))
    assert scan.facts is not None
    assert (scan.facts.width, scan.facts.height) == (1200, 600)
    head = world.objects.head(ARTIFACTS, world.objects.keys(ARTIFACTS)[1])
    assert head is not None
    assert head.size == len(b"(448, 224) 0.98")


@pytest.mark.parametrize("brightness", [CLEAR, BETWEEN])
def test_other_verdicts_come_without_heatmaps(world: World, brightness: int) -> None:
    assert world.scan(world.upload(grey(brightness))).heatmaps == []
    assert world.objects.keys(ARTIFACTS) == []


def test_heatmaps_can_be_turned_off(make_world: Callable[..., World]) -> None:
    world = make_world(make_heatmaps=False)
    assert world.scan(world.upload(grey(FLAGGED))).heatmaps == []


def test_a_heatmap_that_cannot_be_drawn_does_not_cost_the_verdict(make_world: Callable[..., World]) -> None:
    def broken(_pixels: Image.Image, _heatmap: Any, _probability: float) -> bytes:
        raise ZeroDivisionError

    world = make_world(overlay=broken)
    scan = world.scan(world.upload(grey(FLAGGED)))
    assert (scan.state, scan.heatmaps) == (ScanState.COMPLETED, [])
    assert scan.verdict is not None
    assert scan.verdict["verdict"] == "ai_generated"


def test_a_file_that_declares_itself_ai_is_not_cleared(world: World) -> None:
    scan = world.scan(world.upload(grey(CLEAR) + b"Steps: 20, Sampler: Euler"))
    assert scan.verdict is not None
    assert scan.verdict["verdict"] == "uncertain"
    assert scan.verdict["provenance"]["tags"] == ["stable_diffusion_webui"]
    assert scan.verdict["decided_by"] == "machine"


def test_a_file_that_says_by_its_generators_parameters_that_it_is_ai_is_declared_and_gets_no_heatmaps(
    world: World,
) -> None:
    parameters = PngInfo()
    parameters.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512")
    file = io.BytesIO()
    Image.new("L", (64, 64), CLEAR).save(file, "PNG", pnginfo=parameters)

    scan = world.scan(world.upload(file.getvalue()))

    assert scan.verdict is not None
    assert (scan.verdict["verdict"], scan.verdict["decided_by"]) == ("ai_generated", "declared")
    assert scan.verdict["probability"] == pytest.approx(CLEAR / 255)
    assert scan.heatmaps == []


def test_a_trusted_signature_decides_beside_what_the_pixels_say(make_world: Callable[..., World]) -> None:
    authority = make_authority()
    world = make_world(decoders=LocalDecoders(anchors=authority.anchor))
    scan = world.scan(world.upload(authority.sign(grey(CLEAR, (64, 64)), mime="image/png")))
    assert scan.verdict is not None
    assert (scan.verdict["verdict"], scan.verdict["decided_by"]) == ("ai_generated", "provenance")
    assert scan.verdict["probability"] == pytest.approx(CLEAR / 255)
    assert scan.verdict["provenance"]["c2pa"]["state"] == "trusted"
    assert len(scan.heatmaps) == 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", Reason.UNSUPPORTED_TYPE),
        (b"", Reason.UNDECODABLE),
        (grey(CLEAR)[:50], Reason.UNDECODABLE),
        (grey(CLEAR, (1001, 1000)), Reason.TOO_MANY_PIXELS),
        (b"\x89PNG" + b"x" * 100_000, Reason.TOO_LARGE),
    ],
)
def test_a_bad_image_is_rejected_with_its_reason_and_costs_no_attempt(
    world: World, body: bytes, reason: Reason
) -> None:
    scan = world.scan(world.upload(body))
    assert (scan.state, scan.reason, scan.attempts) == (ScanState.REJECTED, reason, 0)


def test_an_image_that_is_gone_is_rejected_as_gone(world: World) -> None:
    scan_id = world.upload(grey(CLEAR))
    world.objects.remove(UPLOADS, "a.png")
    assert world.scan(scan_id).reason is Reason.GONE


def test_of_an_overwritten_image_the_version_that_was_meant_is_scanned(world: World) -> None:
    first = world.upload(grey(FLAGGED))
    world.upload(grey(CLEAR))
    scan = world.scan(first)
    assert scan.verdict is not None
    assert scan.verdict["verdict"] == "ai_generated"


def test_a_second_delivery_changes_nothing(world: World) -> None:
    scan_id = world.upload(grey(CLEAR))
    first = world.scan(scan_id).verdict
    assert world.scan(scan_id).verdict is first


def test_an_image_that_crashes_its_decoder_is_rejected(world: World) -> None:
    scan = world.scan(world.upload(grey(FLAGGED, (13, 13))))
    assert (scan.state, scan.reason) == (ScanState.REJECTED, Reason.CRASHES_DECODER)


@pytest.mark.parametrize("expiries", [1, 2])
def test_only_suspects_go_alone(make_world: Callable[..., World], expiries: int) -> None:
    alone: list[bool] = []

    def batcher(call: Any, item: Any, *, alone_: bool) -> Any:
        alone.append(alone_)
        return call([item])[0]

    world = make_world(run=lambda call, item, alone: batcher(call, item, alone_=alone))
    world.scan(world.upload(grey(FLAGGED), lease_expiries=expiries))
    assert alone == [expiries >= 2] * 2


class Fencing(FakeScans):
    """A ledger that takes every lease back while the worker is at work."""

    def lease(self, scan_id: int, seconds: float) -> Lease | None:
        lease = super().lease(scan_id, seconds)
        self.expire(scan_id)
        return lease


@pytest.mark.parametrize("body", [grey(CLEAR), b"<html>"], ids=["good", "bad"])
def test_a_worker_that_lost_its_lease_changes_nothing(make_world: Callable[..., World], body: bytes) -> None:
    world = make_world(scans=Fencing())
    scan = world.scan(world.upload(body))
    assert (scan.state, scan.verdict, scan.reason, scan.attempts) == (ScanState.DISPATCHED, None, None, 0)


def test_a_failure_under_a_lost_lease_changes_nothing(make_world: Callable[..., World]) -> None:
    world = make_world(scans=Fencing())
    world.bundles.trouble = ValueError("broken")
    assert world.scan(world.upload(grey(CLEAR))).attempts == 0


def test_a_wedged_device_ends_the_process_and_blames_no_image(make_world: Callable[..., World]) -> None:
    def wedged(_call: Any, _item: Any, *, alone: bool) -> Any:
        raise WedgedError(f"alone: {alone}")

    world = make_world(run=wedged)
    scan = world.scan(world.upload(grey(CLEAR)))
    assert world.ended == ["ended"]
    assert (scan.state, scan.attempts) == (ScanState.LEASED, 0)


def test_a_defect_is_tried_again_and_then_given_up(world: World) -> None:
    world.bundles.trouble = ValueError("broken")
    scan_id = world.upload(grey(CLEAR))
    states = []
    for _ in range(3):
        scan = world.scan(scan_id)
        states.append((scan.state, scan.attempts, scan.retry_in is None))
        world.scans.dispatch(scan_id)
    assert states == [(ScanState.QUEUED, 1, False), (ScanState.QUEUED, 2, False), (ScanState.DEAD, 3, True)]
    assert scan.detail == "ValueError"


def test_what_users_read_of_an_outage_names_no_address(world: World) -> None:
    trouble = ObjectStoreDownError('Could not connect to "http://10.0.0.7:9000/uploads"')
    scan = world.scan(world.upload_before(trouble))
    assert scan.detail == "The object store does not answer; check ASSAY_S3_ENDPOINT_URL and its keys."


def test_an_object_that_the_store_refuses_is_given_up_in_the_end(world: World) -> None:
    scan_id = world.upload_before(RefusedError("An error occurred (AccessDenied)"))
    for _ in range(3):
        scan = world.scan(scan_id)
        world.scans.dispatch(scan_id)
    assert (scan.state, scan.attempts) == (ScanState.DEAD, 3)


class NoPuts(FakeObjects):
    """An object store that takes nothing into the artifact bucket."""

    def __init__(self, why: Exception) -> None:
        super().__init__(versioned=[UPLOADS])
        self.why = why

    def put(self, bucket: str, *about: Any, **more: Any) -> ObjectVersion:
        if bucket == ARTIFACTS:
            raise self.why
        return super().put(bucket, *about, **more)


@pytest.mark.parametrize(("why", "scans"), [(RefusedError(), 1), (ObjectStoreDownError(), 3)], ids=["refused", "down"])
def test_a_verdict_waits_for_its_heatmaps_no_longer_than_its_attempts(
    make_world: Callable[..., World], why: Exception, scans: int
) -> None:
    world = make_world(objects=NoPuts(why))
    scan_id = world.upload(grey(FLAGGED))
    states = []
    for _ in range(scans):
        scan = world.scan(scan_id)
        states.append(scan.state)
        world.scans.dispatch(scan_id)
    assert states == [ScanState.QUEUED] * (scans - 1) + [ScanState.COMPLETED]
    assert scan.verdict is not None
    assert (scan.verdict["verdict"], scan.heatmaps) == ("ai_generated", [])


@pytest.mark.parametrize("part", ["objects", "bundles"])
def test_an_outage_gives_up_no_image_however_long_it_lasts(world: World, part: str) -> None:
    scan_id = world.upload(grey(CLEAR))
    getattr(world, part).trouble = TransientError("out of reach")
    for _ in range(10):
        scan = world.scan(scan_id)
        assert scan.state is ScanState.QUEUED
        assert scan.retry_in is not None
        assert scan.retry_in <= 450
        world.scans.dispatch(scan_id)
    getattr(world, part).trouble = None
    assert world.scan(scan_id).state is ScanState.COMPLETED


@pytest.mark.parametrize("when", ["at the lease", "at the end"])
def test_a_database_that_is_away_is_waited_for_quietly(make_world: Callable[..., World], when: str) -> None:
    scans, away = FakeScans(), TransientError("PostgreSQL does not answer")

    def cut(call: Any, item: Any, *, alone: bool) -> Any:
        del alone
        scans.trouble = away
        return call([item])[0]

    world = make_world(run=cut, scans=scans)
    scan_id = world.upload(grey(CLEAR))
    if when == "at the lease":
        scans.trouble = away
    scan = world.scan(scan_id)
    assert scan.state is (ScanState.DISPATCHED if when == "at the lease" else ScanState.LEASED)
    assert (scan.attempts, scan.verdict) == (0, None)


def test_one_bad_image_never_hurts_its_neighbours(make_world: Callable[..., World]) -> None:
    world = make_world(max_batch=8, bundles=Bundles(FakeBundle(poison=frozenset({66, 77}))))
    bodies = [grey(66), grey(77), b"<html>", grey(CLEAR)[:40], *[grey(brightness) for brightness in range(1, 30)]]
    scan_ids = [world.upload(body, f"{number}.png") for number, body in enumerate(bodies)]
    with ThreadPoolExecutor(16) as pool:
        scans = list(pool.map(world.scan, scan_ids))
    assert [scan.state for scan in scans[:4]] == [ScanState.QUEUED] * 2 + [ScanState.REJECTED] * 2
    assert [(scan.state, scan.attempts) for scan in scans[4:]] == [(ScanState.COMPLETED, 0)] * 29
    assert [scan.verdict["probability"] for scan in scans[4:] if scan.verdict] == [
        pytest.approx(brightness / 255) for brightness in range(1, 30)
    ]


@given(attempts=st.integers(1, 5000), jitter=st.floats(0, 1))
def test_backoff_grows_to_its_limit_and_no_further(attempts: int, jitter: float) -> None:
    retries = RetryPolicy(max_attempts=4, base_seconds=2, max_seconds=300)
    delay = retries.delay(attempts, jitter)
    assert 1 <= delay <= 450
    assert delay == pytest.approx(min(2 * 2 ** min(attempts - 1, 20), 300) * (0.5 + jitter))
