"""Animations: one frame decides, any other can only keep the image from being cleared, and the gravest one is named."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from tests.files_as_sent import FILES
from tests.support.decoders import LocalDecoders
from tests.support.fakes import FakeScan
from tests.unit.worker.scan.scan_world import ARTIFACTS, BETWEEN, CLEAR, FLAGGED, World, grey
from tests.unusual_files import heic_sequence
from worker.database.features import EarlierScan, StoredFeatures
from worker.database.tables import ScanState
from worker.errors import PermanentError
from worker.provenance.findings import Provenance


def moving(*brightness: int) -> bytes:
    """Return an animation of plain frames, each shown for half a second."""
    first, *then = [Image.new("RGB", (32, 16), (level, level, level)) for level in brightness]
    buffer = io.BytesIO()
    first.save(buffer, "WEBP", save_all=True, append_images=then, duration=500, lossless=True)
    return buffer.getvalue()


def verdict_of(scan: FakeScan) -> dict[str, Any]:
    assert scan.verdict is not None
    return dict(scan.verdict)


@pytest.mark.parametrize(
    ("frames", "verdict", "gravest"),
    [
        ([CLEAR, CLEAR + 1], "not_ai_generated", 1),
        ([CLEAR, FLAGGED, CLEAR], "uncertain", 1),
        ([CLEAR, CLEAR + 1, BETWEEN], "uncertain", 2),
        ([BETWEEN, FLAGGED], "uncertain", 1),
        ([FLAGGED, CLEAR], "ai_generated", 0),
        ([FLAGGED, FLAGGED + 5], "ai_generated", 1),
    ],
)
def test_another_frame_can_only_keep_an_animation_from_being_cleared(
    world: World, frames: list[int], verdict: str, gravest: int
) -> None:
    row = verdict_of(world.scan(world.upload(moving(*frames))))
    assert (row["verdict"], row["decided_by"]) == (verdict, "machine")
    assert row["probability"] == pytest.approx(frames[0] / 255)
    assert row["frames"] == {
        "count": len(frames),
        "judged": list(range(len(frames))),
        "deciding": {"number": 0, "at_ms": 0.0, "probability": row["probability"]},
        "gravest": {
            "number": gravest,
            "at_ms": 500.0 * gravest,
            "probability": pytest.approx(frames[gravest] / 255),
        },
        "first_alone": False,
    }


def test_a_picture_of_the_gravest_frame_is_kept(world: World) -> None:
    row = verdict_of(world.scan(world.upload(moving(CLEAR, FLAGGED, CLEAR))))
    body = world.objects.read(ARTIFACTS, row["frame_key"], max_bytes=100_000)
    picture = Image.open(io.BytesIO(body))
    assert (picture.size, picture.getpixel((0, 0))) == ((32, 16), (FLAGGED, FLAGGED, FLAGGED))
    assert row["frame_key"].startswith("heatmaps/1/1/")  # so that it goes when the image is erased


def test_a_still_picture_has_no_frames(world: World) -> None:
    row = verdict_of(world.scan(world.upload(grey(FLAGGED))))
    assert not {"frames", "frame_key"} & set(row)


def test_a_sequence_whose_decoder_gives_the_first_picture_alone_says_so(world: World) -> None:
    row = verdict_of(world.scan(world.upload(heic_sequence())))
    assert (row["frames"]["count"], row["frames"]["judged"], row["frames"]["first_alone"]) == (2, [0], True)
    assert row["frames"]["deciding"] == row["frames"]["gravest"]


@pytest.mark.parametrize(("most", "judged"), [(1, [0]), (2, [0, 3]), (3, [0, 2, 4]), (8, [0, 1, 2, 3, 4])])
def test_no_more_frames_are_judged_than_the_setting_allows_and_the_same_one_decides(
    make_world: Callable[..., World], most: int, judged: list[int]
) -> None:
    world = make_world(decoders=LocalDecoders(most_frames=most))
    row = verdict_of(world.scan(world.upload(moving(CLEAR, 21, 22, 23, 24))))
    assert (row["frames"]["judged"], row["frames"]["deciding"]["number"]) == (judged, 0)
    assert sum(len(batch) for batch in world.bundles.bundle.batches) == len(judged)


def test_an_equal_animation_takes_over_frames_and_gets_a_picture_of_its_own(world: World) -> None:
    body = moving(CLEAR, FLAGGED)
    first, second = world.scan(world.upload(body, "a.webp")), world.scan(world.upload(body, "b.webp"))
    one, other = verdict_of(first), verdict_of(second)
    assert (other["verdict"], other["frames"], other["duplicate_of"]) == ("uncertain", one["frames"], 1)
    assert other["frame_key"] != one["frame_key"]
    assert world.objects.read(ARTIFACTS, other["frame_key"], max_bytes=100_000) == world.objects.read(
        ARTIFACTS, one["frame_key"], max_bytes=100_000
    )


def test_a_rescan_of_an_animation_looks_at_its_frames_again(world: World) -> None:
    frames = verdict_of(world.scan(world.upload(moving(CLEAR, FLAGGED))))["frames"]
    again = world.upload(moving(CLEAR, FLAGGED, CLEAR), "b.webp", rescan=True)
    image = world.scans.scans[again].image
    image.sha256, image.size_bytes, image.width, image.height = "0" * 64, 1, 32, 16
    memory = StoredFeatures(b"", {"clip": -5.0}, (0.0, 0.0))
    world.scans.memory[again] = [EarlierScan("fake-1", memory, Provenance().as_json(), frames)]
    assert verdict_of(world.scan(again))["frames"]["count"] == 3


def test_heatmaps_that_somebody_asks_for_cost_one_frame(world: World) -> None:
    scan = world.scan(world.upload(moving(CLEAR, FLAGGED, CLEAR), only_heatmaps=True))
    assert (scan.verdict, len(scan.heatmaps)) == (None, 2)
    assert [len(batch) for batch in world.bundles.bundle.batches] == [1]


def test_a_picture_that_cannot_be_stored_costs_no_verdict(make_world: Callable[..., World]) -> None:
    world = make_world()

    def refuse(*_: Any) -> Any:
        raise PermanentError("refused")

    scan_id = world.upload(moving(CLEAR, FLAGGED))
    world.objects.put = refuse  # type: ignore[assignment]
    row = verdict_of(world.scan(scan_id))
    assert (row["verdict"], row["frame_key"]) == ("uncertain", None)


def test_no_pictures_are_stored_where_no_evidence_is_wanted(make_world: Callable[..., World]) -> None:
    world = make_world(make_heatmaps=False)
    assert verdict_of(world.scan(world.upload(moving(CLEAR, FLAGGED))))["frame_key"] is None


@pytest.mark.parametrize("name", ["cut by a fifth.jpg", "cut by a quarter.png", "sound.jpg"])
def test_a_file_that_breaks_off_is_recorded_as_such(world: World, name: str) -> None:
    scan = world.scan(world.upload(FILES[name].make(), name))
    assert scan.state is ScanState.COMPLETED
    assert scan.facts is not None
    assert scan.facts.truncated is FILES[name].truncated
    copy = world.scan(world.upload(FILES[name].make(), f"copy of {name}"))
    assert copy.facts == scan.facts
