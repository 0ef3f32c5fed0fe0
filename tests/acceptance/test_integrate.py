"""A newcomer integrates as docs/integrate.md says, word for word: bucket, webhook, three lines of action."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from standardwebhooks import Webhook

from api.client import Assay
from infra.demo_images import bad_files, photographs
from tests.support.assay_up import AssayUp, wait_until
from tests.support.media import media_server

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


class Platform:
    """A platform's own code: what it did with each post."""

    def __init__(self) -> None:
        self.acts: list[tuple[str, str]] = []

    def images(self) -> set[str]:
        """Return the images that it has acted on."""
        return {image_id for _, image_id in self.acts}

    def __getattr__(self, act: str) -> Any:
        """Return the platform's function of this name."""
        return lambda image_id: self.acts.append((act, image_id))


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an app on this machine; give its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 20, "the platform to serve")
    host, port = server.servers[0].sockets[0].getsockname()
    yield f"http://{host}:{port}"
    server.should_exit = True
    thread.join(20)


def fences(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_page_s_own_lines_act_on_every_upload(assay: AssayUp, repository: Path) -> None:
    page = (repository / "docs" / "integrate.md").read_text(encoding="utf-8")
    shell, receiver = fences(page, "sh")[0], fences(page, "python")[0]
    bucket = assay.addresses.upload_bucket
    # Bucket: the page's notification, with the queue that the listener reads.
    before = assay.s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    ((notification,),) = [re.findall(r'configuration \\\n\s*"(.*)"$', shell, re.MULTILINE)]
    notified = json.loads(notification.replace('\\"', '"').replace("$QUEUE_ARN", before[0]["QueueArn"]))
    assay.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=notified)

    app, platform = FastAPI(), Platform()
    names: dict[str, Any] = {"app": app, "Request": Request, "Webhook": Webhook, "posts": platform}
    names["moderators"] = platform
    exec(compile(receiver, "docs/integrate.md", "exec"), names)  # noqa: S102 - the page's own lines are the test.
    with served(app) as address, Assay(assay.doors.api_url, assay.doors.api_key) as client:
        # Webhook: the page's body, for the platform's address.
        (body,) = re.findall(r"-d '(\{.*\})'", shell)
        wanted = json.loads(body.replace("https://platform.example", address))
        made = client.add_webhook(**wanted)
        names["SECRET"] = made["secret"]
        uploads = {f"integrate/{image.name}": image.data for image in photographs()[:3]}
        broken = bad_files()[0].data
        uploads["integrate/broken.jpg"] = broken
        for key, data in uploads.items():
            assay.put(key, data)
        wait_until(lambda: uploads.keys() <= platform.images(), 120, "the platform to act on every upload")
        client.remove_webhook(made["id"])
    acts = {image_id: act for act, image_id in platform.acts if image_id in uploads}
    assert acts["integrate/broken.jpg"] == "hold"
    assert set(acts.values()) <= {"show", "show_as_ai", "hold", "queue"}


def test_a_file_that_is_named_by_its_address_is_fetched_judged_fed_and_exported(assay: AssayUp) -> None:
    """One image through all that stands beside webhooks: batch, long poll, feed, export, report."""
    began = datetime.now(UTC)
    with media_server() as media, Assay(assay.doors.api_url, assay.doors.api_key) as client:
        media.pages["/p/1.jpg"] = (200, {}, photographs()[0].data)
        cursor: str | None = None
        items = [{"url": media.url("/p/1.jpg"), "image_id": "by-address", "source": "posts"}]
        items.append({"url": media.url("/p/none.jpg"), "image_id": "by-none"})
        taken = client.batch(items, priority="high")
        assert [one["state"] for one in taken["items"]] == ["accepted", "accepted"]
        image = client.wait_for_verdict("by-address")
        assert (image["source"], image["verdict"] is not None) == ("posts", True)
        gone = partial(client.fetch, taken["items"][1]["fetch_id"])
        wait_until(lambda: gone()["state"] == "failed", 60, "the other fetch to fail")
        assert gone()["reason"] == "gone"
        fed = set[tuple[str, str]]()

        def is_fed() -> bool:
            nonlocal cursor
            answer = client.changes(cursor)
            fed.update((one["type"], one["data"].get("image_id", "")) for one in answer["items"])
            cursor = answer["next_cursor"]
            return {("verdict.created", "by-address"), ("fetch.failed", "by-none")} <= fed

        wait_until(is_fed, 60, "the feed to tell of both")
        export = client.wait_for_export(client.export("verdicts", began, datetime.now(UTC), "csv")["id"])
        lines = [httpx.get(file["url"]).text for file in export["files"]]
        assert (export["state"], "by-address" in "".join(lines)) == ("done", True)
        today = began.date()
        report = client.transparency_report(today, today.replace(year=today.year + 1))
        assert report["images"]["received"] >= 1
