"""The story of one image, told with fakes: every way it can end, and that no image pays for another."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.support.decoders import LocalDecoders
from tests.support.provenance import make_authority
from tests.unit.worker.scan.scan_world import (
    ARTIFACTS,
    BETWEEN,
    CLEAR,
    FLAGGED,
    UPLOADS,
    World,
    grey,
)
from worker.database.tables import ScanState
from worker.errors import Reason
from worker.provenance.findings import Provenance
from worker.scan.retries import RetryPolicy


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
    assert scan.verdict["detectors"]["clip"].keys() == {"logit", "probability", "engine", "weight"}
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
    assert [key for key in world.objects.keys(ARTIFACTS) if key.startswith("heatmaps/")] == []


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


def test_after_an_outage_of_half_a_minute_nothing_waits_longer_than_six_seconds() -> None:
    retries = RetryPolicy(max_attempts=5, base_seconds=2, max_seconds=300)
    delays = [retries.delay(attempts, 0.5, outage=True) for attempts in range(1, 16)]
    assert delays == [2, 4, 4, 4, 4, 4, 4, 4, 8, 16, 32, 64, 128, 256, 300]
    assert [retries.is_last(attempts, outage=True) for attempts in (4, 6, 7)] == [False, False, True]
    assert max(retries.delay(attempts, 1.0, outage=True) for attempts in range(1, 9)) == 6


@given(attempts=st.integers(1, 5000), jitter=st.floats(0, 1))
def test_backoff_grows_to_its_limit_and_no_further(attempts: int, jitter: float) -> None:
    retries = RetryPolicy(max_attempts=4, base_seconds=2, max_seconds=300)
    delay = retries.delay(attempts, jitter)
    assert 1 <= delay <= 450
    assert delay == pytest.approx(min(2 * 2 ** min(attempts - 1, 20), 300) * (0.5 + jitter))
