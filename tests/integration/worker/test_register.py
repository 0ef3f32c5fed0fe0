"""However an object is told of, it becomes one image row and one live scan, on a real store and a real Postgres."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from tests.conftest import Buckets, Scanned
from worker.database.scans import Scans
from worker.database.served import Queries
from worker.database.session import Database
from worker.database.tables import Image, Scan, ScanState
from worker.errors import Reason
from worker.ingest.events import ObjectCreated
from worker.ingest.register import VANISHED, Register
from worker.ingest.sweep import Sweep
from worker.objects.object_store import object_store as connect_store
from worker.objects.trouble import ObjectStoreDownError, RefusedError
from worker.objects.versions import ObjectHead
from worker.settings import Settings

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
Age = Callable[[timedelta], None]

KEY = "dir/a b+ü%.jpg"
FORM_ENCODED = "dir/a+b%2B%C3%BC%25.jpg"


def make_register(database: Database, store: Buckets, pattern: str | None = None) -> Register:
    buckets = [store.uploads, store.plain, store.artifacts]
    return Register(
        database, store.objects, upload_buckets=buckets, artifact_bucket=store.artifacts, image_id_pattern=pattern
    )


@pytest.fixture
def register(database: Database, object_store: Buckets) -> Register:
    return make_register(database, object_store)


@pytest.fixture
def sweep(database: Database, object_store: Buckets, register: Register) -> Sweep:
    return Sweep(database, object_store.objects, register, [object_store.uploads, object_store.plain])


@pytest.fixture
def age(database: Database) -> Age:
    """Makes all known images older, so that no test waits for the store's clock, which counts seconds."""

    def make(older: timedelta) -> None:
        with database.transaction() as session:
            session.execute(
                update(Image).values(stored_at=Image.stored_at - older, created_at=Image.created_at - older)
            )

    return make


def images(database: Database) -> list[Image]:
    with database.transaction() as session:
        found = list(session.scalars(select(Image).order_by(Image.id)))
        assert sorted(session.scalars(select(Scan.image_pk))) == [image.id for image in found]
        return found


def etag_of(answer: Any) -> str:
    return str(answer["ETag"]).strip('"')


def test_all_ways_in_agree_on_one_row_where_versions_are_kept(
    database: Database, object_store: Buckets, register: Register, sweep: Sweep
) -> None:
    put = object_store.put(object_store.uploads, KEY)
    version, etag = put["VersionId"], etag_of(put)
    told = [
        ObjectCreated(object_store.uploads, (KEY, FORM_ENCODED), version, etag, 5),
        ObjectCreated(object_store.uploads, (KEY,), None, etag, 5),
        ObjectCreated(object_store.uploads, (FORM_ENCODED, KEY), None, None, None),
        ObjectCreated(object_store.uploads, (KEY,), version, None, None),
    ]
    registered = [register(created) for created in told]
    assert [found.created for found in registered if found] == [True, False, False, False]
    assert sweep() == 0
    [image] = images(database)
    assert (image.key, image.version, image.versioned, image.size_bytes) == (KEY, version, True, 5)
    assert (image.image_id, image.source) == (KEY, f"{object_store.uploads}/dir")


def test_all_ways_in_agree_on_one_row_where_none_are_kept(
    database: Database, object_store: Buckets, register: Register, sweep: Sweep
) -> None:
    etag = etag_of(object_store.put(object_store.plain, KEY))
    assert sweep() == 1
    register(ObjectCreated(object_store.plain, (KEY, FORM_ENCODED), None, etag, 5))
    register(ObjectCreated(object_store.plain, (KEY,), None, None, None))
    assert sweep() == 0
    [image] = images(database)
    assert (image.version, image.versioned) == (etag, False)


def test_every_version_is_an_image_of_its_own(
    database: Database, object_store: Buckets, register: Register, sweep: Sweep
) -> None:
    answers = [object_store.put(object_store.uploads, KEY, body) for body in (b"one", b"two", b"one")]
    register(ObjectCreated(object_store.uploads, (KEY,), answers[1]["VersionId"], etag_of(answers[1]), 3))
    assert sweep() == 2
    assert {image.version for image in images(database)} == {answer["VersionId"] for answer in answers}
    assert sweep() == 0


def test_an_event_told_twice_at_once_makes_one_image(
    database: Database, object_store: Buckets, register: Register, together: Callable[..., list[Any]]
) -> None:
    put = object_store.put(object_store.uploads, KEY)
    created = ObjectCreated(object_store.uploads, (KEY,), put["VersionId"], etag_of(put), 5)
    registered = together(*[lambda: register(created)] * 5)
    assert sorted(found.created for found in registered) == [False] * 4 + [True]
    assert len({found.scan_id for found in registered}) == 1
    assert len(images(database)) == 1


def test_the_artifact_bucket_is_refused_even_when_it_is_listed_for_uploads(
    database: Database, object_store: Buckets, register: Register
) -> None:
    object_store.put(object_store.artifacts, "heatmaps/1.png")
    assert register(ObjectCreated(object_store.artifacts, ("heatmaps/1.png",))) is None
    assert register(ObjectCreated("somebody-elses", ("a.png",))) is None
    assert images(database) == []


def test_folder_markers_are_no_images(database: Database, object_store: Buckets, sweep: Sweep) -> None:
    object_store.put(object_store.uploads, "dir/", b"")
    assert sweep() == 0
    assert images(database) == []


def test_an_object_whose_key_ends_in_a_slash_and_that_has_bytes_is_an_image(
    database: Database, object_store: Buckets, sweep: Sweep
) -> None:
    object_store.put(object_store.uploads, "x/", b"a picture of two megabytes")
    assert sweep() == 1
    assert [image.key for image in images(database)] == ["x/"]


@pytest.mark.parametrize(
    ("metadata", "pattern", "image_id"),
    [
        ({"image-id": "photo-7"}, r"^dir/(.+)$", "photo-7"),
        ({"image-id": "=?UTF-8?B?R3LDvMOfZSA3?="}, None, "Grüße 7"),
        ({"image-id": "100%25"}, None, "100%25"),
        ({"Image-Id": "photo-8"}, None, "photo-8"),
        ({}, r"^dir/(.+)\.jpg$", "a b+ü%"),
        ({}, None, KEY),
    ],
)
def test_the_image_id_is_metadata_else_pattern_else_key(
    database: Database, object_store: Buckets, metadata: dict[str, str], pattern: str | None, image_id: str
) -> None:
    object_store.put(object_store.uploads, KEY, metadata=metadata)
    registered = make_register(database, object_store, pattern)(ObjectCreated(object_store.uploads, (KEY,)))
    assert registered is not None
    assert registered.image_id == image_id


def test_the_source_is_metadata_else_the_first_folder_else_the_bucket(
    database: Database, object_store: Buckets, register: Register
) -> None:
    told: list[tuple[str, dict[str, str]]] = [
        ("a/b/c.png", {}),
        ("c.png", {}),
        ("/x/c.png", {}),
        ("d/e.png", {"source": "avatars"}),
    ]
    for key, metadata in told:
        object_store.put(object_store.uploads, key, metadata=metadata)
        register(ObjectCreated(object_store.uploads, (key,)))
    sources = {image.key: image.source for image in images(database)}
    bucket = object_store.uploads
    assert sources == {"a/b/c.png": f"{bucket}/a", "c.png": bucket, "/x/c.png": bucket, "d/e.png": "avatars"}


def test_an_object_that_vanished_before_it_was_looked_at_is_registered_all_the_same(
    database: Database, object_store: Buckets, register: Register
) -> None:
    register(ObjectCreated(object_store.uploads, ("gone.png",), "v9", "e9", 7))
    register(ObjectCreated(object_store.plain, ("gone.png",), None, "e9", 7))
    register(ObjectCreated(object_store.plain, ("gone-too.png",)))
    assert [(image.version, image.versioned, image.size_bytes) for image in images(database)] == [
        ("v9", True, 7),
        ("e9", False, 7),
        (VANISHED, False, None),
    ]


def test_of_an_object_overwritten_before_it_was_looked_at_the_told_state_is_registered_not_the_new_one(
    database: Database, object_store: Buckets, register: Register, sweep: Sweep
) -> None:
    old = etag_of(object_store.put(object_store.plain, KEY, b"old", {"image-id": "old"}))
    new = etag_of(object_store.put(object_store.plain, KEY, b"newer", {"image-id": "new"}))
    register(ObjectCreated(object_store.plain, (KEY,), None, old, 3))
    assert sweep() == 1
    assert [(image.version, image.image_id, image.size_bytes) for image in images(database)] == [
        (old, KEY, 3),
        (new, "new", 5),
    ]


def newest(database: Database, image_id: str) -> Image:
    served = Queries(database).served(image_id)
    assert served is not None
    return served.image


def stored(store: Buckets, monkeypatch: pytest.MonkeyPatch, times: Mapping[str, datetime]) -> None:
    """Let the store say when it took in each state, by ETag; its own clock is too coarse for a test."""
    head = store.objects.head

    def told(*place: Any) -> ObjectHead | None:
        found = head(*place)
        return found and replace(found, stored_at=times[found.version.etag])

    monkeypatch.setattr(store.objects, "head", told)


def test_whatever_comes_first_the_version_stored_last_is_served(
    database: Database, object_store: Buckets, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts = [object_store.put(object_store.uploads, KEY, body) for body in (b"one", b"two", b"three")]
    stored(object_store, monkeypatch, {etag_of(put): NOW + number * SECOND for number, put in enumerate(puts)})
    for put in (puts[1], puts[2], puts[0]):
        register(ObjectCreated(object_store.uploads, (KEY,), put["VersionId"], etag_of(put), 3))
    assert newest(database, KEY).version == puts[2]["VersionId"]


def test_a_state_overwritten_before_it_was_looked_at_is_never_the_newest(
    database: Database, object_store: Buckets, register: Register
) -> None:
    old = etag_of(object_store.put(object_store.plain, KEY, b"old"))
    new = object_store.put(object_store.plain, KEY, b"new")
    told_at = object_store.s3.head_object(Bucket=object_store.plain, Key=KEY)["LastModified"] + 0.9 * SECOND
    register(ObjectCreated(object_store.plain, (KEY,), None, etag_of(new), 3))
    register(ObjectCreated(object_store.plain, (KEY,), None, old, 3, told_at))
    assert newest(database, KEY).version == etag_of(new)


@pytest.mark.parametrize("version_id", [None, "made-up"])
def test_a_ghost_of_an_event_hides_no_verdict_whatever_time_it_claims(
    database: Database, object_store: Buckets, register: Register, version_id: str | None
) -> None:
    real = object_store.put(object_store.uploads, KEY)
    register(ObjectCreated(object_store.uploads, (KEY,), real["VersionId"], etag_of(real)))

    in_2099 = datetime(2099, 1, 1, tzinfo=UTC)
    ghost = register(ObjectCreated(object_store.uploads, (KEY,), version_id, "0" * 32, 5, in_2099))

    assert ghost is not None
    assert newest(database, KEY).version == real["VersionId"]
    assert max(image.stored_at for image in images(database)) <= datetime.now(UTC)
    later = object_store.put(object_store.uploads, KEY, b"a later upload")
    register(ObjectCreated(object_store.uploads, (KEY,), later["VersionId"], etag_of(later)))
    assert newest(database, KEY).version == later["VersionId"]


def test_an_event_that_claims_an_older_state_again_does_not_bring_it_back(
    database: Database, object_store: Buckets, register: Register, age: Age
) -> None:
    old = etag_of(object_store.put(object_store.plain, KEY, b"old"))
    register(ObjectCreated(object_store.plain, (KEY,), None, old))
    age(HOUR)
    new = etag_of(object_store.put(object_store.plain, KEY, b"new"))
    register(ObjectCreated(object_store.plain, (KEY,), None, new))
    age(HOUR)

    register(ObjectCreated(object_store.plain, (KEY,), None, old, 3, datetime.now(UTC) + HOUR))

    assert newest(database, KEY).version == new


def test_a_state_that_only_an_event_told_of_counts_once_it_is_read(
    database: Database, object_store: Buckets, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RefusedError

    old = etag_of(object_store.put(object_store.plain, KEY, b"old"))
    register(ObjectCreated(object_store.plain, (KEY,), None, old))
    new = etag_of(object_store.put(object_store.plain, KEY, b"new"))
    monkeypatch.setattr(object_store.objects, "head", refuse)
    told = register(ObjectCreated(object_store.plain, (KEY,), None, new, 3, datetime.now(UTC) + HOUR))
    assert told is not None
    assert newest(database, KEY).version == old

    scanned = Scanned(database)
    scanned.crown()
    scanned.dispatch()
    lease = Scans(database).lease(told.scan_id, 60)
    assert lease is not None
    Scans(database).reject(lease, Reason.UNDECODABLE, "no picture")

    assert newest(database, KEY).version == new


@pytest.mark.parametrize("way", ["event", "sweep"])
def test_a_state_that_comes_back_is_the_newest_again(
    database: Database, object_store: Buckets, sweep: Sweep, age: Age, way: str
) -> None:
    register = make_register(database, object_store)

    def put(body: bytes) -> ObjectCreated:
        age(HOUR)
        return ObjectCreated(object_store.plain, (KEY,), None, etag_of(object_store.put(object_store.plain, KEY, body)))

    first = put(b"one")
    register(first)
    register(put(b"two"))
    between = datetime.now(UTC)
    age(HOUR)
    assert newest(database, KEY).version != first.etag
    put(b"one")
    if way == "event":
        register(first)
    assert sweep() == 0
    assert len(images(database)) == 2
    assert newest(database, KEY).version == first.etag
    then = Queries(database).served(KEY, between - 2 * HOUR)
    assert then is not None
    assert then.image.version != first.etag


@pytest.mark.parametrize("way", ["event", "sweep"])
def test_what_was_gone_and_is_put_again_is_scanned_again(
    database: Database, object_store: Buckets, sweep: Sweep, age: Age, way: str
) -> None:
    register = make_register(database, object_store)
    created = ObjectCreated(object_store.plain, (KEY,), None, etag_of(object_store.put(object_store.plain, KEY)), 5)
    assert register(created)
    with database.transaction() as session:
        gone = {"state": ScanState.REJECTED, "reason": Reason.GONE, "due_at": None, "finished_at": func.now()}
        session.execute(update(Scan).values(gone))
    register(created)
    assert scan_state(database) == (ScanState.REJECTED, Reason.GONE, False)
    age(HOUR)
    object_store.put(object_store.plain, KEY)
    if way == "event":
        register(created)
    else:
        sweep()
    assert scan_state(database) == (ScanState.QUEUED, None, True)


def scan_state(database: Database) -> tuple[str, str | None, bool]:
    with database.transaction() as session:
        scan = session.scalars(select(Scan)).one()
        return scan.state, scan.reason, scan.due_at is not None


def test_a_key_that_only_looks_encoded_is_found_as_it_is(
    database: Database, object_store: Buckets, register: Register
) -> None:
    object_store.put(object_store.uploads, FORM_ENCODED)
    register(ObjectCreated(object_store.uploads, (KEY, FORM_ENCODED)))
    [image] = images(database)
    assert image.key == FORM_ENCODED


def test_another_object_of_the_other_reading_is_not_mistaken_for_it(
    database: Database, object_store: Buckets, register: Register
) -> None:
    object_store.put(object_store.plain, FORM_ENCODED, b"another")
    register(ObjectCreated(object_store.plain, (KEY, FORM_ENCODED), None, "d41d8cd98f00b204e9800998ecf8427e", 0))
    [image] = images(database)
    assert image.key == KEY


@pytest.mark.parametrize("etag", ["e9", None])
def test_of_an_object_that_the_store_refuses_the_event_is_believed_if_it_names_the_state(
    database: Database, object_store: Buckets, register: Register, monkeypatch: pytest.MonkeyPatch, etag: str | None
) -> None:
    def refuse(*_: Any) -> None:
        raise RefusedError

    monkeypatch.setattr(object_store.objects, "head", refuse)
    created = ObjectCreated(object_store.plain, (KEY, FORM_ENCODED), None, etag, 7)
    if etag:
        register(created)
    else:
        with pytest.raises(ObjectStoreDownError):
            register(created)
    assert [(image.key, image.version) for image in images(database)] == ([(KEY, etag)] if etag else [])


def test_of_two_readings_of_a_key_one_may_be_refused(
    database: Database, object_store: Buckets, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_store.put(object_store.uploads, FORM_ENCODED)
    head = object_store.objects.head

    def refuse(bucket: str, key: str, version_id: str | None) -> ObjectHead | None:
        if key == KEY:
            raise RefusedError
        return head(bucket, key, version_id)

    monkeypatch.setattr(object_store.objects, "head", refuse)
    register(ObjectCreated(object_store.uploads, (KEY, FORM_ENCODED)))
    assert [image.key for image in images(database)] == [FORM_ENCODED]


def test_while_the_store_is_away_nothing_is_registered(
    database: Database, object_store: Buckets, stack_settings: Settings
) -> None:
    nowhere = stack_settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1"})
    register = Register(database, connect_store(nowhere), upload_buckets=[object_store.uploads], artifact_bucket="x")
    with pytest.raises(ObjectStoreDownError):
        register(ObjectCreated(object_store.uploads, (KEY,)))
    assert images(database) == []


def test_the_sweep_reads_every_page_and_says_what_was_new(
    database: Database, object_store: Buckets, sweep: Sweep
) -> None:
    for number in range(5):
        object_store.put(object_store.uploads, f"{number}.png")
        object_store.put(object_store.plain, f"{number}.png")
    pages: list[dict[str, Any]] = []

    def shorten(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 2
        pages.append(params)

    for listing in ("ListObjectsV2", "ListObjectVersions"):
        object_store.objects._client.meta.events.register(f"before-parameter-build.s3.{listing}", shorten)
    assert [sweep(), sweep()] == [10, 0]
    assert len(pages) == 12
    assert len(images(database)) == 10


def test_the_sweep_passes_over_deleted_objects(database: Database, object_store: Buckets, sweep: Sweep) -> None:
    kept = object_store.put(object_store.uploads, "a.png")["VersionId"]
    object_store.s3.delete_object(Bucket=object_store.uploads, Key="a.png")
    assert sweep() == 1
    assert [image.version for image in images(database)] == [kept]
