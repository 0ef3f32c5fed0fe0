"""What an arrived object is called: its version, the platform's own id, and where it comes from."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from worker.ingest.events import ObjectCreated
from worker.ingest.register import VANISHED, image_id_for, source_for, stored_at_of, version_of, why_no_id
from worker.objects.versions import ObjectHead, ObjectVersion

KEY = "dir/a.jpg"


def head(metadata: Mapping[str, str] | None = None, version_id: str | None = "v1", etag: str = "e1") -> ObjectHead:
    return ObjectHead(ObjectVersion(version_id, etag), 5, metadata or {})


def created(version_id: str | None = None, etag: str | None = None) -> ObjectCreated:
    return ObjectCreated("uploads", (KEY,), version_id, etag)


@pytest.mark.parametrize(
    ("event", "found", "version"),
    [
        (created("v0", "e0"), head(), "v0"),
        (created("v0", "e0"), None, "v0"),
        (created(None, "e1"), head(), "v1"),
        (created(None, "e1"), head(version_id=None), "e1"),
        (created(None, "e0"), None, "e0"),
        (created(), head(), "v1"),
        (created(), head(version_id=None), "e1"),
        (created(), head(version_id=None, etag=""), VANISHED),
        (created(), None, VANISHED),
    ],
)
def test_the_version_is_the_told_one_else_the_found_one_and_never_empty(
    event: ObjectCreated, found: ObjectHead | None, version: str
) -> None:
    assert version_of(event, found) == version


@pytest.mark.parametrize(
    ("metadata", "pattern", "image_id"),
    [
        ({"image-id": "photo-7"}, r"/(.+)\.jpg", "photo-7"),
        ({"image-id": ""}, r"/(.+)\.jpg", "a"),
        ({"image-id": "x" * 1025}, None, KEY),
        ({}, r"(?P<dir>dir)/(?P<image_id>.+)\.jpg", "a"),
        ({}, r"no such (key)", KEY),
        ({}, r"a(x)?", KEY),
        ({}, "dir", KEY),
        ({}, None, KEY),
    ],
)
def test_the_image_id_is_metadata_else_pattern_else_key(
    metadata: dict[str, str], pattern: str | None, image_id: str
) -> None:
    assert image_id_for(KEY, head(metadata), re.compile(pattern) if pattern else None) == image_id


@pytest.mark.parametrize(
    ("key", "metadata", "source"),
    [
        ("dir/a.jpg", {}, "uploads/dir"),
        ("dir/sub/a.jpg", {}, "uploads/dir"),
        ("a.jpg", {}, "uploads"),
        ("/a.jpg", {}, "uploads"),
        ("//a.jpg", {}, "uploads"),
        ("dir/a.jpg", {"source": "avatars"}, "avatars"),
        ("dir/a.jpg", {"source": ""}, "uploads/dir"),
        ("dir/a.jpg", {"source": "x" * 1025}, "uploads/dir"),
    ],
)
def test_the_source_is_metadata_else_the_first_folder_else_the_bucket(
    key: str, metadata: dict[str, str], source: str
) -> None:
    assert source_for("uploads", key, head(metadata)) == source


def test_what_cannot_be_looked_at_is_named_by_its_key() -> None:
    assert (image_id_for(KEY, None, None), source_for("uploads", KEY, None)) == (KEY, "uploads/dir")


def test_a_state_was_stored_when_the_store_says_else_just_before_the_event_told_it() -> None:
    event = ObjectCreated("uploads", (KEY,), None, "e1", None, datetime(2026, 11, 20, 9, 0, 5, 569, tzinfo=UTC))
    stored_at = datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert stored_at_of(event, ObjectHead(ObjectVersion(None, "e1"), 5, {}, stored_at)) == stored_at
    assert stored_at_of(event, None) == datetime(2026, 11, 20, 9, 0, 4, tzinfo=UTC)
    assert stored_at_of(created(), None) is None


@pytest.mark.parametrize("image_id", [".", "..", "a\r\nb", "a\nb", "\x7f"])
def test_an_id_that_no_address_could_name_is_refused_with_the_reason(image_id: str) -> None:
    assert why_no_id(image_id)


@pytest.mark.parametrize("image_id", ["a", "...", "dir/a b+ü%.jpg", "../a"])
def test_any_other_text_is_an_id(image_id: str) -> None:
    assert why_no_id(image_id) is None
