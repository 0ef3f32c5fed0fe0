from fastapi.testclient import TestClient

from tests.support.api_world import World, image_row, scan_row
from worker.database.tables import Image, Scan, ScanState
from worker.errors import Reason


def dead(number: int) -> tuple[Scan, Image]:
    return scan_row(id=number, state=ScanState.DEAD, reason=Reason.ATTEMPTS_EXHAUSTED, attempts=5), image_row()


def test_dead_scans_are_listed_in_pages_with_their_images(world: World, client: TestClient) -> None:
    for number in (1, 2, 3):
        world.queries.known_scans[number] = dead(number)
    first = client.get("/v1/scans?state=dead&limit=2").json()
    second = client.get(f"/v1/scans?state=dead&limit=2&cursor={first['next_cursor']}").json()
    assert [[item["id"] for item in page["items"]] for page in (first, second)] == [[3, 2], [1]]
    assert second["next_cursor"] is None
    fields = [first["items"][0][name] for name in ("image_id", "key", "reason", "attempts")]
    assert fields == ["cat", "cat.jpg", "attempts_exhausted", 5]
