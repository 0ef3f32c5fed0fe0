"""Files that are named by address: fetched, stored and registered once, whatever dies in between, and told of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select, text

from api.reference.webhook_bodies import EXAMPLES
from tests.conftest import Buckets, Scanned
from tests.support.media import Media, media_server
from worker.database.audit import Actor
from worker.database.callbacks import CallbackTarget
from worker.database.changes import Changes
from worker.database.erasure import Erasure
from worker.database.fetches import Fetches, NewFetch, NotFailedError
from worker.database.images import LIVE_QUEUE
from worker.database.roles import Role, establish_roles, url_of
from worker.database.session import Database, connect
from worker.database.tables import Callback, Fetch, Image, Scan, WebhookDelivery
from worker.database.webhook_endpoints import Event, WebhookEndpoints
from worker.decisions.fetching import FetchReason, FetchState
from worker.decisions.priority import Priority
from worker.duties.changes import NumberChanges
from worker.ingest.download import Download
from worker.ingest.fetcher import Fetcher
from worker.ingest.register import Register
from worker.objects.trouble import ObjectStoreDownError

pytestmark = pytest.mark.integration

ME = Actor("me")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class DeadError(BaseException):
    """The worker dies here."""


@dataclass
class World:
    """A worker's fetcher over real parts, and a platform's media server."""

    database: Database
    buckets: Buckets
    media: Media

    def ask(self, path: str = "/cat.png", image_id: str = "cat", priority: Priority = Priority.NORMAL) -> int:
        ((fetch_id, _),) = Fetches(self.database).add(ME, [NewFetch(image_id, self.media.url(path), "posts")], priority)
        return fetch_id

    def fetcher(self, database: Database | None = None, objects: Any = None, register: Any = None) -> Fetcher:
        database = database or self.database
        known = objects or self.buckets.objects
        own = Register(database, known, upload_buckets=[self.buckets.uploads], artifact_bucket=self.buckets.artifacts)
        download = Download(max_bytes=1000, private=True)
        return Fetcher(database, download, known, register or own, bucket=self.buckets.uploads, threads=2)

    def fetch(self, fetch_id: int) -> Fetch:
        found = Fetches(self.database).get(fetch_id)
        assert found is not None
        return found

    def images(self) -> list[tuple[str, str, bool]]:
        with self.database.transaction() as session:
            rows = session.scalars(select(Image).order_by(Image.id)).all()
            return [(row.image_id, row.source, row.key.startswith("api/fetched/")) for row in rows]

    def let_time_pass(self) -> None:
        with self.database.transaction() as session:
            session.execute(text("UPDATE url_fetch SET due_at = now() - interval '1 second' WHERE due_at IS NOT NULL"))


@pytest.fixture
def world(database: Database, object_store: Buckets) -> Iterator[World]:
    with media_server() as media:
        media.pages["/cat.png"] = (200, {}, PNG)
        yield World(database, object_store, media)


def test_a_file_becomes_an_image_with_its_id_and_source_and_a_live_scan(world: World) -> None:
    fetch_id = world.ask()
    assert [world.fetcher().fetch_once(), world.fetcher().fetch_once()] == [1, 0]
    fetch = world.fetch(fetch_id)
    assert (fetch.state, fetch.reason, fetch.attempts, fetch.due_at, fetch.lease_token) == ("done", None, 1, None, None)
    assert world.images() == [("cat", "posts", True)]
    with world.database.transaction() as session:
        scan = session.scalars(select(Scan)).one()
        image = session.scalars(select(Image)).one()
    assert (scan.queue, scan.state, image.id) == (LIVE_QUEUE, "queued", fetch.image_pk)
    assert world.buckets.s3.get_object(Bucket=image.bucket, Key=image.key)["Body"].read() == PNG


def test_a_worker_that_dies_loses_and_doubles_nothing(world: World) -> None:
    """It dies before the download, then after storing, then after registering; each time another one goes on."""

    def die(*_: Any, **__: Any) -> Any:
        raise DeadError

    class StoresAndDies:
        head = world.buckets.objects.head

        def put(self, *args: Any) -> Any:
            world.buckets.objects.put(*args)
            raise DeadError

    def register_and_die(created: Any) -> Any:
        world.fetcher()._register(created)
        raise DeadError

    fetch_id = world.ask()
    dying = world.fetcher()
    dying._download = die
    for fetcher in (dying, world.fetcher(objects=StoresAndDies()), world.fetcher(register=register_and_die)):
        with pytest.raises(DeadError):
            fetcher.fetch_once()
        assert world.fetcher().fetch_once() == 0  # its lease still holds
        assert world.fetch(fetch_id).state == "leased"
        world.let_time_pass()
    assert world.fetcher().fetch_once() == 1
    assert (world.fetch(fetch_id).state, world.images()) == ("done", [("cat", "posts", True)])
    assert world.media.requests == [("/cat.png", f"127.0.0.1:{world.media.port}")]


def test_a_worker_that_was_given_up_changes_nothing_any_more(world: World) -> None:
    fetch_id = world.ask()
    (late,) = Fetches(world.database).take(1)
    world.let_time_pass()
    assert world.fetcher().fetch_once() == 1
    assert Fetches(world.database).fail(late, FetchReason.GONE, "late") is False
    Fetches(world.database).try_later(late, "late", ours=False)
    assert world.fetch(fetch_id).state == "done"


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ((404, {}, b""), "gone"),
        ((403, {}, b""), "refused"),
        ((200, {}, PNG + bytes(2000)), "too_large"),
        ((200, {}, b"<html>"), "not_an_image"),
        ((302, {"Location": "https://user@127.0.0.1/"}, b""), "forbidden_address"),
    ],
)
def test_what_cannot_be_had_ends_with_a_reason_which_the_feed_tells(world: World, page: Any, reason: str) -> None:
    world.media.pages["/cat.png"] = page
    fetch_id = world.ask()
    assert world.fetcher().fetch_once() == 1
    fetch = world.fetch(fetch_id)
    assert (fetch.state, fetch.reason, fetch.finished_at is not None, world.images()) == ("failed", reason, True, [])
    NumberChanges(Changes(world.database))()
    ((_, message),) = Changes(world.database).page(None, limit=9).items
    assert message["data"].keys() == EXAMPLES[Event.FETCH_FAILED].keys()
    assert (message["type"], message["data"]["reason"], message["data"]["image_id"]) == (
        Event.FETCH_FAILED,
        reason,
        "cat",
    )


def test_trouble_is_waited_out_and_given_up_after_six_attempts_and_can_be_replayed(world: World) -> None:
    world.media.pages["/cat.png"] = (503, {}, b"")
    fetch_id, fetches = world.ask(), Fetches(world.database)
    for attempt in range(1, 6):
        assert (world.fetcher().fetch_once(), world.fetcher().fetch_once()) == (1, 0)
        assert (world.fetch(fetch_id).state, world.fetch(fetch_id).attempts) == ("queued", attempt)
        world.let_time_pass()
    with pytest.raises(NotFailedError):
        fetches.replay(ME, fetch_id)
    world.fetcher().fetch_once()
    fetch = world.fetch(fetch_id)
    assert (fetch.state, fetch.reason, fetch.detail) == ("failed", "unreachable", "answered 503")
    world.media.pages["/cat.png"] = (200, {}, PNG)
    assert fetches.replay(ME, fetch_id) is not None
    assert (world.fetcher().fetch_once(), world.fetch(fetch_id).state) == (1, "done")


def test_an_outage_of_our_own_store_counts_as_no_attempt(world: World) -> None:
    class Down:
        head = world.buckets.objects.head

        def put(self, *_: Any) -> Any:
            raise ObjectStoreDownError

    fetch_id = world.ask()
    for _ in range(9):
        world.fetcher(objects=Down()).fetch_once()
        world.let_time_pass()
    assert (world.fetch(fetch_id).state, world.fetch(fetch_id).attempts) == ("queued", 0)
    world.fetcher().fetch_once()
    assert world.fetch(fetch_id).state == "done"


def test_the_workers_role_may_do_all_of_it(world: World) -> None:
    establish_roles(world.database)
    address = url_of(Role.WORKER, world.database.engine.url).render_as_string(hide_password=False)
    made = WebhookEndpoints(world.database).add(ME, "https://platform.example/", [Event.SCAN_DEAD])
    target = CallbackTarget(made.endpoint.id, "https://platform.example/cat")
    wanted = [NewFetch("cat", world.media.url("/cat.png")), NewFetch("dog", world.media.url("/dog.png"))]
    Fetches(world.database).add(ME, wanted, Priority.HIGH, target)
    as_worker = connect(address)
    assert world.fetcher(as_worker).fetch_once() == 2
    as_worker.engine.dispose()
    assert [fetch.image_id for fetch in Fetches(world.database).page(FetchState.DONE, limit=9)] == ["cat"]
    with world.database.transaction() as session:
        assert session.scalars(select(Callback.url)).all() == [target.url]
        (failed,) = session.scalars(select(WebhookDelivery)).all()
    assert (failed.event, failed.url, failed.endpoint_id) == (Event.FETCH_FAILED, target.url, made.endpoint.id)


def test_what_is_urgent_goes_first_and_what_is_not_goes_with_history(world: World, scanned: Scanned) -> None:
    scanned.arrive("earlier.png")
    for path, priority in (("/low", Priority.LOW), ("/normal", Priority.NORMAL), ("/high", Priority.HIGH)):
        world.media.pages[path] = (200, {}, PNG)
        world.ask(path, path, priority)
    world.fetcher().fetch_once()
    assert world.media.requests[0][0] == "/high"
    world.fetcher().fetch_once()
    with world.database.transaction() as session:
        images = dict(session.execute(select(Image.id, Image.image_id)).all())
        lines = session.execute(select(Scan.queue, Scan.image_pk).order_by(Scan.queue, Scan.due_at)).all()
    assert [(queue, images[image_pk]) for queue, image_pk in lines] == [
        ("scan.bulk", "/low"),
        ("scan.live", "/high"),
        ("scan.live", "earlier.png"),
        ("scan.live", "/normal"),
    ]


def test_the_same_file_is_asked_for_once_while_it_is_on_its_way(world: World) -> None:
    fetches, wanted = Fetches(world.database), NewFetch("cat", world.media.url("/cat.png"))
    ((first, is_new), (twin, twin_is_new)) = fetches.add(ME, [wanted, wanted], Priority.NORMAL)
    ((again, again_is_new),) = fetches.add(ME, [wanted], Priority.NORMAL)
    assert (twin, again, is_new, twin_is_new, again_is_new) == (first, first, True, True, False)
    world.fetcher().fetch_once()
    ((later, later_is_new),) = fetches.add(ME, [wanted], Priority.NORMAL)
    assert (later != first, later_is_new) == (True, True)


def test_erasure_and_retention_leave_no_address_behind(world: World) -> None:
    fetch_id = world.ask()
    world.fetcher().fetch_once()
    assert Erasure(world.database, "artifacts").erase(ME, "cat") == 1
    assert Fetches(world.database).get(fetch_id) is None
    world.media.pages["/cat.png"] = (404, {}, b"")
    gone = world.ask()
    world.fetcher().fetch_once()
    with world.database.transaction() as session:
        session.execute(text("UPDATE url_fetch SET finished_at = now() - interval '31 days'"))
    assert (Fetches(world.database).drop(30, most=9), Fetches(world.database).get(gone)) == (1, None)
