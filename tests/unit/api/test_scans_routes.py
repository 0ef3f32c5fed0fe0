from fastapi.testclient import TestClient

from api.testing import World, image_row, scan_row
from worker.errors import Reason
from worker.store.tables import Image, Scan, ScanState


def dead(number: int) -> tuple[Scan, Image]:
    return scan_row(id=number, state=ScanState.DEAD, reason=Reason.ATTEMPTS_EXHAUSTED, attempts=5), image_row()


def test_dead_scans_are_listed_in_pages_with_their_images(world: World, client: TestClient) -> None:
    for number in (1, 2, 3):
        world.queries.known_scans[number] = dead(number)
    first = client.get("/v1/scans?state=dead&limit=2").json()
    second = client.get(f"/v1/scans?state=dead&limit=2&cursor={first['next_cursor']}").json()
    assert [[item["id"] for item in page["items"]] for page in (first, second)] == [[3, 2], [1]]
    assert second["next_cursor"] is None
    told = [first["items"][0][name] for name in ("image_id", "key", "reason", "attempts")]
    assert told == ["cat", "cat.jpg", "attempts_exhausted", 5]


def test_a_dead_scan_is_replayed_with_all_its_attempts(world: World, client: TestClient) -> None:
    world.queries.known_scans[1] = dead(1)
    response = client.post("/v1/scans/1/replay")
    assert (response.status_code, response.json()["state"], response.json()["attempts"]) == (202, "queued", 0)


def test_a_scan_that_is_not_dead_is_not_replayed(world: World, client: TestClient) -> None:
    world.queries.known_scans[1] = (scan_row(id=1, state=ScanState.LEASED), image_row())
    response = client.post("/v1/scans/1/replay")
    assert response.status_code == 409
    assert "leased" in response.json()["detail"]


def test_an_unknown_scan_is_404(client: TestClient) -> None:
    assert client.post("/v1/scans/1/replay").status_code == 404
