"""The client against the API as it is served."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import api.client
from api.async_client import AsyncAssay
from api.client import Assay, Problem, verify_webhook
from api.services import Services
from tests.integration.api.conftest import BUNDLE, Rows
from tests.support.served import served
from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database
from worker.database.tables import ScanState
from worker.duties.webhooks import signatures

pytestmark = pytest.mark.integration

JPEG = b"\xff\xd8\xff" + bytes(100)


@pytest.fixture
def address(services: Services) -> Iterator[str]:
    with served(services) as port:
        yield f"http://127.0.0.1:{port}"


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
    assert [event["data"]["state"] for event in assay.watch_training(run["id"])] == ["queued", "cancelled"]
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
    assert imported - sys.stdlib_module_names == {"httpx"}


def test_a_verdict_is_waited_for(assay: Assay, rows: Rows) -> None:
    assay.upload(JPEG, image_id="soon")
    waiter = threading.Timer(0.3, lambda: rows.verdict(1, scan_id=1, probability=0.97))
    waiter.start()
    image = assay.wait_for_verdict("soon")
    waiter.join()
    assert image["verdict"] is not None


def test_an_appeal_is_brought_and_decided(assay: Assay, rows: Rows) -> None:
    rows.verdict(rows.image("cat"), verdict="ai_generated", probability=0.97)
    brought = assay.appeal("cat", "I took it myself.", contact="user-42")
    assert [one["id"] for one in assay.appeals()] == [brought["id"]]
    decided = assay.decide_appeal(brought["id"], "not_ai_generated", "a second frame")
    assert (decided["state"], [one["state"] for one in assay.image_appeals("cat")]) == ("upheld", ["upheld"])


def test_a_thumbnail_that_is_missing_is_none(assay: Assay, rows: Rows) -> None:
    rows.image("cat")
    assert assay.thumbnail("cat") is None


def test_the_client_for_asyncio_does_the_same(address: str, database: Database, rows: Rows) -> None:
    key = ApiKeys(database).create("client", [Scope.ADMIN]).key

    async def work() -> None:
        async with AsyncAssay(address, key) as assay:
            accepted = await assay.upload(JPEG, image_id="soon")
            waiting = asyncio.create_task(assay.wait_for_verdict("soon"))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(rows.verdict, 1, scan_id=1, probability=0.97)
            image = await waiting
            assert (image["key"], image["verdict"] is not None) == (accepted["key"], True)
            assert [one["image_id"] async for one in assay.search(min_probability=0.9)] == ["soon"]
            assert await assay.thumbnail("soon") is None
            run = await assay.train("wild", base_bundle=BUNDLE)
            await assay.cancel_training(run["id"])
            states = [event["data"]["state"] async for event in assay.watch_training(run["id"])]
            assert states == ["queued", "cancelled"]
            assert [bundle["version"] for bundle in await assay.bundles()] == [BUNDLE]
            await assay.erase("soon")
            with pytest.raises(Problem) as gone:
                await assay.image("soon")
            assert gone.value.status == 404

    asyncio.run(work())


def test_the_client_for_asyncio_sends_again_what_is_postponed_and_does_it_once(
    address: str, database: Database, rows: Rows
) -> None:
    key = ApiKeys(database).create("client", [Scope.ADMIN]).key
    rows.image("cat")
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def work() -> None:
        async with AsyncAssay(address, key, sleep=sleep) as assay:
            send, lost = assay._http.request, [True, False]

            async def unsteady(*arguments: object, **more: object) -> httpx.Response:
                response = await send(*arguments, **more)  # type: ignore[arg-type]
                if not lost:
                    return response
                if lost.pop(0):
                    raise httpx.ReadError("the answer was lost on its way")
                return httpx.Response(429, headers={"Retry-After": "7"})

            assay._http.request = unsteady  # type: ignore[method-assign]
            label = await assay.label("cat", "ai_generated", "hands")
            assert [one["id"] async for one in assay.labels("cat")] == [label["id"]]

    asyncio.run(work())
    assert waited == [1.0, 7.0]


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_webhook_is_believed_with_its_own_signature_alone() -> None:
    body = b'{"type": "verdict.created", "data": {"image_id": "cat"}}'
    signature = signatures("msg_1", 1_000_000, body, [SECRET])
    headers = {"Webhook-Id": "msg_1", "Webhook-Timestamp": "1000000", "Webhook-Signature": signature}
    message = verify_webhook(SECRET, headers, body, now=1_000_010.0)
    assert message["data"]["image_id"] == "cat"
    changes: tuple[dict[str, Any], ...] = (
        {"body": body + b" "},
        {"secret": "whsec_" + "A" * 32},
        {"headers": {}},
        {"now": 1_000_400.0},
        {"headers": {**headers, "Webhook-Id": "msg_2"}},
    )
    for wrong in changes:
        given = {"secret": SECRET, "headers": headers, "body": body, "now": 1_000_010.0, **wrong}
        with pytest.raises(ValueError, match="this message is"):
            verify_webhook(**given)  # one of them is wrong each time
