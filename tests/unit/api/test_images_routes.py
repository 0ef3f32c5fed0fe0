from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from tests.support.api_world import World, image_row, scan_row, verdict_row
from worker.database.served import ServedImage
from worker.database.tables import Heatmap, ScanState
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.errors import Reason

HEATMAP = {
    "detector": "clip",
    "method": "grad-cam",
    "layer": "ln_1",
    "bundle_version": "b1",
    "key": "heatmaps/9/clip.png",
    "raw_key": "heatmaps/9/clip.npy",
}
FRAMES = {
    "count": 24,
    "judged": [0, 12],
    "deciding": {"number": 0, "at_ms": 0.0, "probability": 0.1},
    "gravest": {"number": 12, "at_ms": 1200.0, "probability": 0.99},
    "first_alone": False,
}
AWKWARD_IDS = ["dir/a b+ü%.jpg", "/leading", "trailing/", "a//b", "?a=b&c#d", "日本/🙂", ".", "verdicts"]


def test_an_image_is_told_with_scan_verdict_and_evidence(world: World, client: TestClient) -> None:
    world.queries.images["cat"] = ServedImage(image_row(), verdict_row(), scan_row(), [HEATMAP])
    response = client.get("/v1/images/cat")
    image = response.json()
    assert response.status_code == 200
    place = tuple(image[name] for name in ("image_id", "bucket", "key", "version"))
    assert place == ("cat", "uploads", "cat.jpg", "v1")
    assert image["scan"]["state"] == "completed"
    assert image["verdict"] == {
        "verdict": "ai_generated",
        "probability": 0.97,
        "thresholds": {"lower": 0.2, "upper": 0.9},
        "detectors": {"clip": {"logit": 3.0, "probability": 0.95}},
        "provenance": {"c2pa": None},
        "frames": None,
        "bundle_version": "b1",
        "policy_version": 1,
        "decided_by": "machine",
        "duplicate_of": None,
        "reviewer": None,
        "reason": None,
        "created_at": "2026-11-21T12:00:00Z",
        "heatmaps": [HEATMAP],
    }


def test_an_image_without_a_verdict_says_why(world: World, client: TestClient) -> None:
    scan = scan_row(state=ScanState.REJECTED, reason=Reason.UNDECODABLE, detail="truncated")
    world.queries.images["cat"] = ServedImage(image_row(), None, scan, [])
    image = client.get("/v1/images/cat").json()
    assert image["verdict"] is None
    assert tuple(image["scan"][name] for name in ("state", "reason", "detail")) == (
        "rejected",
        "undecodable",
        "truncated",
    )


@pytest.mark.parametrize(
    ("withdrawn", "state", "pending"),
    [
        (False, ScanState.QUEUED, {"reason": "new"}),
        (True, ScanState.QUEUED, {"reason": "withdrawn"}),
        (True, ScanState.COMPLETED, {"reason": "withdrawn"}),
        (False, ScanState.DEAD, None),
    ],
)
def test_a_pending_image_tells_whether_a_rollback_took_its_verdict(
    world: World, client: TestClient, state: ScanState, pending: dict[str, str] | None, *, withdrawn: bool
) -> None:
    world.queries.images["cat"] = ServedImage(image_row(), None, scan_row(state=state), [], withdrawn=withdrawn)
    image = client.get("/v1/images/cat").json()
    assert (image["verdict"], image["pending"]) == (None, pending)


@pytest.mark.parametrize("image_id", AWKWARD_IDS)
@pytest.mark.parametrize("safe", ["", "/"])
def test_awkward_ids_come_through_the_path(world: World, client: TestClient, image_id: str, safe: str) -> None:
    world.queries.images[image_id] = ServedImage(image_row(image_id=image_id), None, scan_row(), [])
    world.queries.verdicts[image_id] = []
    world.queries.heatmaps[image_id, "clip"] = Heatmap(**HEATMAP)
    path = "/v1/images/" + quote(image_id, safe=safe).replace(".", "%2E")
    assert image_id == client.get(path).json()["image_id"]
    assert client.get(f"{path}/verdicts").json()["items"] == []
    assert client.get(f"{path}/heatmap?detector=clip").status_code == 307


def test_as_of_is_handed_on_as_an_aware_time(world: World, client: TestClient) -> None:
    client.get("/v1/images/cat?as_of=2026-11-01T10:00:00%2B02:00")
    client.get("/v1/images/cat/verdicts?as_of=2026-11-01T08:00:00Z&shadow=true")
    then = datetime(2026, 11, 1, 8, tzinfo=UTC)
    assert [then, (then, True, None)] == world.queries.asked


def test_history_comes_in_pages_newest_first(world: World, client: TestClient) -> None:
    image = image_row()
    world.queries.verdicts["cat"] = [(verdict_row(id=number), image) for number in (5, 4, 3, 2, 1)]
    pages, cursor = [], ""
    while True:
        page = client.get(f"/v1/images/cat/verdicts?limit=2{cursor}").json()
        pages.append([item["id"] for item in page["items"]])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert pages == [[5, 4], [3, 2], [1]]


def test_history_names_the_version_and_who_decided(world: World, client: TestClient) -> None:
    decision = verdict_row(
        decided_by=DecidedBy.HUMAN, verdict=VerdictValue.NOT_AI_GENERATED, reviewer="kim", reason="my own photograph"
    )
    world.queries.verdicts["cat"] = [(decision, image_row(version="v2"))]
    (item,) = client.get("/v1/images/cat/verdicts").json()["items"]
    shown = [item[name] for name in ("decided_by", "reviewer", "reason", "image_version", "shadow")]
    assert shown == ["human", "kim", "my own photograph", "v2", False]


def test_a_heatmap_is_a_short_lived_redirect_that_nobody_caches(world: World, client: TestClient) -> None:
    world.queries.heatmaps["cat", "convnext"] = Heatmap(**{**HEATMAP, "detector": "convnext"})
    response = client.get("/v1/images/cat/heatmap?detector=convnext")
    assert response.status_code == 307
    assert response.headers["Location"] == "https://store.example/artifacts/heatmaps/9/clip.png?expires=300"
    assert response.headers["Cache-Control"] == "no-store"


def test_an_animation_is_told_with_its_gravest_frame_and_a_file_that_breaks_off_as_such(
    world: World, client: TestClient
) -> None:
    verdict = verdict_row(verdict=VerdictValue.UNCERTAIN, frames=FRAMES, frame_key="heatmaps/7/8/frame.png")
    world.queries.images["cat"] = ServedImage(image_row(truncated=True), verdict, scan_row(), [])
    image = client.get("/v1/images/cat").json()
    assert (image["truncated"], image["verdict"]["frames"]) == (True, FRAMES)
    response = client.get("/v1/images/cat/frame")
    assert response.status_code == 307
    assert response.headers["Location"] == "https://store.example/artifacts/heatmaps/7/8/frame.png?expires=300"
    assert response.headers["Cache-Control"] == "no-store"


def test_a_still_picture_has_no_frame_to_show(world: World, client: TestClient) -> None:
    world.queries.images["cat"] = ServedImage(image_row(), verdict_row(), scan_row(), [])
    assert client.get("/v1/images/cat/frame").status_code == 404


def test_the_map_itself_is_behind_its_own_form_and_old_heatmaps_have_none(world: World, client: TestClient) -> None:
    world.queries.heatmaps["cat", "clip"] = Heatmap(**HEATMAP)
    world.queries.heatmaps["dog", "clip"] = Heatmap(**{**HEATMAP, "raw_key": None})
    response = client.get("/v1/images/cat/heatmap?detector=clip&form=raw")
    assert response.headers["Location"].startswith("https://store.example/artifacts/heatmaps/9/clip.npy")
    assert client.get("/v1/images/dog/heatmap?detector=clip&form=raw").status_code == 404


@pytest.mark.parametrize("suffix", ["", "/verdicts", "/heatmap?detector=clip", "/frame"])
def test_an_unknown_image_is_404(client: TestClient, suffix: str) -> None:
    assert client.get(f"/v1/images/nobody{suffix}").status_code == 404
