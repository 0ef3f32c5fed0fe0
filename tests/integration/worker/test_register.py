"""However an object is told of, it becomes one image row and one live scan, on a real store and a real Postgres."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Buckets
from tests.integration.worker.conftest import KEY, etag_of, images, make_register
from worker.database.session import Database
from worker.ingest.events import ObjectCreated
from worker.ingest.register import VANISHED, Register
from worker.ingest.sweep import Sweep
from worker.objects.object_store import object_store as connect_store
from worker.objects.trouble import ObjectStoreDownError, RefusedError
from worker.objects.versions import ObjectHead
from worker.settings import Settings

pytestmark = pytest.mark.integration


FORM_ENCODED = "dir/a+b%2B%C3%BC%25.jpg"


def test_all_ways_in_agree_on_one_row_where_versions_are_kept(
    database: Database, object_store: Buckets, register: Register, sweep: Sweep
) -> None:
    put = object_store.put(object_store.uploads, KEY)
    version, etag = put["VersionId"], etag_of(put)
    events = [
        ObjectCreated(object_store.uploads, (KEY, FORM_ENCODED), version, etag, 5),
        ObjectCreated(object_store.uploads, (KEY,), None, etag, 5),
        ObjectCreated(object_store.uploads, (FORM_ENCODED, KEY), None, None, None),
        ObjectCreated(object_store.uploads, (KEY,), version, None, None),
    ]
    registered = [register(created) for created in events]
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
    objects: list[tuple[str, dict[str, str]]] = [
        ("a/b/c.png", {}),
        ("c.png", {}),
        ("/x/c.png", {}),
        ("d/e.png", {"source": "avatars"}),
    ]
    for key, metadata in objects:
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
