"""Thumbnails: made at once for what waits for a person, else by a scan of their own; they never cost a verdict."""

import io
from typing import Any

import pytest
from PIL import Image

from tests.unit.worker.scan.scan_world import ARTIFACTS, BETWEEN, CLEAR, FLAGGED, World, grey
from worker.database.tables import ScanState
from worker.errors import Reason
from worker.images.decode import PREVIEW_SIDE


def test_what_waits_for_a_person_has_its_thumbnail_with_the_verdict(world: World) -> None:
    scan = world.scan(world.upload(grey(BETWEEN)))
    assert scan.verdict is not None
    assert (scan.verdict["verdict"], scan.thumbnail_key) == ("uncertain", "thumbnails/1/1.webp")
    with Image.open(io.BytesIO(world.objects.read(ARTIFACTS, "thumbnails/1/1.webp", max_bytes=100_000))) as picture:
        assert (picture.format, picture.size) == ("WEBP", (32, 16))


@pytest.mark.parametrize("brightness", [CLEAR, FLAGGED])
def test_what_waits_for_nobody_has_none(world: World, brightness: int) -> None:
    assert world.scan(world.upload(grey(brightness))).thumbnail_key is None


def test_a_rescan_leaves_it_to_whoever_looks(world: World) -> None:
    scan = world.scan(world.upload(grey(BETWEEN), rescan=True))
    assert (scan.state, scan.thumbnail_key) == (ScanState.COMPLETED, None)


def test_a_scan_of_its_own_makes_one_and_no_verdict(world: World) -> None:
    scan = world.scan(world.upload(grey(CLEAR, (2000, 500)), only_thumbnail=True))
    assert (scan.state, scan.verdict, scan.thumbnail_key) == (ScanState.COMPLETED, None, "thumbnails/1/1.webp")
    with Image.open(io.BytesIO(world.objects.read(ARTIFACTS, "thumbnails/1/1.webp", max_bytes=100_000))) as picture:
        assert picture.size == (PREVIEW_SIDE, PREVIEW_SIDE // 4)
    assert world.bundles.bundle.batches == []


def test_no_bundle_is_needed_for_one(world: World) -> None:
    world.scan(world.upload(grey(CLEAR), only_thumbnail=True))
    assert world.bundles.asked == []


def test_what_is_no_picture_ends_its_scan(world: World) -> None:
    scan = world.scan(world.upload(b"no picture", only_thumbnail=True))
    assert (scan.state, scan.reason) == (ScanState.REJECTED, Reason.UNSUPPORTED_TYPE)


def test_one_that_cannot_be_made_never_costs_a_verdict(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store = world.objects.put

    def refuse(bucket: str, key: str, *rest: Any) -> Any:
        if bucket == ARTIFACTS:
            raise ValueError("a defect")
        return store(bucket, key, *rest)

    monkeypatch.setattr(world.objects, "put", refuse)
    scan = world.scan(world.upload(grey(BETWEEN)))
    assert scan.verdict is not None
    assert (scan.verdict["verdict"], scan.thumbnail_key) == ("uncertain", None)
