"""The client against the API as it is served."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import uvicorn

import api.client
from api.client import Assay, Problem
from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import BUNDLE, Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database
from worker.database.tables import ScanState

pytestmark = pytest.mark.integration

JPEG = b"\xff\xd8\xff" + bytes(100)


@pytest.fixture
def address(services: Services) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_config=None, access_log=False))
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def assay(address: str, database: Database) -> Iterator[Assay]:
    with Assay(address, ApiKeys(database).create("client", [Scope.ADMIN]).key) as client:
        yield client


def test_an_image_goes_in_and_all_that_is_known_comes_out(assay: Assay, rows: Rows) -> None:
    accepted = assay.upload(JPEG, image_id="dir/ü 1/verdicts", source="avatars")
    image = assay.image("dir/ü 1/verdicts")
    assert (image["source"], image["verdict"], image["key"]) == ("avatars", None, accepted["key"])
    verdict = rows.verdict(1, scan_id=1, probability=0.97)
    rows.heatmap(verdict, "clip")
    given = assay.label("dir/ü 1/verdicts", "not_ai_generated", "the author showed the raw file", "maria")
    served = assay.image("dir/ü 1/verdicts")["verdict"]
    assert served is not None
    assert (served["verdict"], served["reviewer"]) == ("not_ai_generated", "maria")
    assert [past["id"] for past in assay.history("dir/ü 1/verdicts")] == [given["verdict_id"], verdict]
    assert [past["id"] for past in assay.history("dir/ü 1/verdicts", bundle=BUNDLE)] == [verdict]
    assert [label["id"] for label in assay.labels("dir/ü 1/verdicts")] == [given["id"]]
    assert httpx.URL(assay.heatmap("dir/ü 1/verdicts", "clip")).path.endswith("/clip")
    assert [found["id"] for found in assay.search(min_probability=0.9, source="avatars")] == [verdict]
    assert assay.verdict(verdict)["image_id"] == "dir/ü 1/verdicts"
    assay.erase("dir/ü 1/verdicts")
    with pytest.raises(Problem) as gone:
        assay.image("dir/ü 1/verdicts")
    assert (gone.value.status, gone.value.type) == (404, "/v1/errors/not-found")
    assert gone.value.request_id
    assert next(assay.audit(target="image:1"))["action"] == "image.erase"


def test_what_admins_do_is_done(assay: Assay, rows: Rows) -> None:
    image = rows.image("cat", key="a/1.jpg")
    dead = rows.scan(image, ScanState.DEAD)
    promoted = assay.promote(BUNDLE, "first")
    assert (promoted["bundle_version"], assay.bundle(BUNDLE)["role"]) == (BUNDLE, "champion")
    assert [bundle["version"] for bundle in assay.bundles()] == [BUNDLE]
    with pytest.raises(Problem) as nothing:
        assay.roll_back("second thoughts")
    assert nothing.value.status == 409
    assert assay.rescan(["cat"])["queued"] == 1
    assert assay.rescan_under("uploads", "a/") == 0
    assert [scan["id"] for scan in assay.scans("dead")] == [dead]
    assert assay.replay(dead)["state"] == "queued"
    policy = assay.add_policy(false_positive_budget=0.002, miss_budget=0.1)
    assert next(assay.policies())["version"] == policy["version"]
    with pytest.raises(Problem) as unknown:
        assay.preview_policy(false_positive_budget=0.002, miss_budget=0.1)
    assert unknown.value.status == 409
    run = assay.train("wild", base_bundle=BUNDLE)
    assert assay.training_run(run["id"])["state"] == "queued"
    assert assay.cancel_training(run["id"])["state"] == "cancelled"
    assert [told["data"]["state"] for told in assay.watch_training(run["id"])] == ["queued", "cancelled"]
    assert [found["id"] for found in assay.training_runs("cancelled")] == [run["id"]]
    with pytest.raises(Problem, match="no report"):
        assay.training_report(run["id"])
    hook = assay.add_webhook("https://platform.example/", ["verdict.changed"])
    assert hook["secret"].startswith("whsec_")
    assay.remove_webhook(hook["id"])
    assert assay.stats()["scans"]["queued"] == 2


def test_pages_are_asked_for_until_there_are_no_more(assay: Assay, rows: Rows) -> None:
    made = [
        rows.verdict(rows.image(f"i{number}"), created_at=datetime(2026, 1, 1, tzinfo=UTC)) for number in range(205)
    ]
    assert [found["id"] for found in assay.search()] == made[::-1]


def test_a_lost_connection_is_tried_again_and_the_upload_is_done_once(
    assay: Assay, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, lost, waited = assay._http.request, [1, 1], list[float]()

    def unsteady(*arguments: object, **more: object) -> httpx.Response:
        response = send(*arguments, **more)  # type: ignore[arg-type]
        if lost:
            lost.pop()
            raise httpx.ReadError("the answer was lost on its way")
        return response

    monkeypatch.setattr(assay._http, "request", unsteady)
    monkeypatch.setattr(assay, "_sleep", waited.append)
    accepted = assay.upload(JPEG, image_id="once")
    assert len(waited) == 2
    with services.stores.audit._database.transaction() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM image").scalar() == 1
    assert assay.image("once")["key"] == accepted["key"]


def test_what_is_postponed_is_tried_as_often_as_is_said(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    with Assay(address, "assay_x", attempts=3, sleep=waited.append) as client:
        answer = httpx.Response(503, headers={"Retry-After": "7"}, json={"title": "Unavailable"})
        monkeypatch.setattr(client._http, "request", lambda *_, **__: answer)
        with pytest.raises(Problem, match="503 Unavailable"):
            client.stats()
    assert waited == [7.0, 7.0]


def test_the_client_is_one_file_that_needs_httpx_alone() -> None:
    source = Path(api.client.__file__).read_text("utf-8")
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported == {"time", "collections", "datetime", "types", "typing", "urllib", "uuid", "httpx"}
