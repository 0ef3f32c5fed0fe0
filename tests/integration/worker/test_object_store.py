"""Fetching from a real object store: exactly the version that was registered, or none."""

import urllib.request

import pytest

from tests.conftest import Buckets
from worker.errors import GoneError, TooLargeError
from worker.objects.trouble import ObjectStoreDownError

pytestmark = pytest.mark.integration

KEY = "dir/a b+ü%.jpg"


def fetch(store: Buckets, bucket: str, version: str, *, versioned: bool) -> bytes:
    return store.objects.fetch(bucket, KEY, version, versioned=versioned, max_bytes=100)


def test_of_a_bucket_that_keeps_versions_the_one_that_was_meant_comes(object_store: Buckets) -> None:
    first = object_store.put(object_store.uploads, KEY, b"first")["VersionId"]
    second = object_store.put(object_store.uploads, KEY, b"second")["VersionId"]
    found = [fetch(object_store, object_store.uploads, version, versioned=True) for version in (first, second)]
    assert found == [b"first", b"second"]
    object_store.s3.delete_object(Bucket=object_store.uploads, Key=KEY)
    assert fetch(object_store, object_store.uploads, first, versioned=True) == b"first"
    object_store.s3.delete_object(Bucket=object_store.uploads, Key=KEY, VersionId=first)
    with pytest.raises(GoneError):
        fetch(object_store, object_store.uploads, first, versioned=True)


def test_of_a_bucket_that_keeps_none_an_overwritten_object_is_gone(object_store: Buckets) -> None:
    etag = object_store.put(object_store.plain, KEY, b"first")["ETag"].strip('"')
    assert fetch(object_store, object_store.plain, etag, versioned=False) == b"first"
    object_store.put(object_store.plain, KEY, b"second")
    with pytest.raises(GoneError):
        fetch(object_store, object_store.plain, etag, versioned=False)
    object_store.s3.delete_object(Bucket=object_store.plain, Key=KEY)
    with pytest.raises(GoneError):
        fetch(object_store, object_store.plain, etag, versioned=False)


def test_an_object_larger_than_the_limit_is_refused(object_store: Buckets) -> None:
    version = object_store.put(object_store.uploads, KEY, b"x" * 101)["VersionId"]
    with pytest.raises(TooLargeError):
        fetch(object_store, object_store.uploads, version, versioned=True)


def test_what_is_put_can_be_read_back_with_its_metadata(object_store: Buckets) -> None:
    put = object_store.objects.put(object_store.uploads, KEY, b"bytes", "image/png", {"image-id": "Grüße 7"})
    head = object_store.objects.head(object_store.uploads, KEY)
    assert head is not None
    assert (head.version, head.size, dict(head.metadata)) == (put, 5, {"image-id": "Grüße 7"})


def test_a_presigned_address_needs_no_credentials(object_store: Buckets) -> None:
    object_store.put(object_store.artifacts, KEY, b"png")
    address = object_store.objects.presigned_url(object_store.artifacts, KEY, 60)
    with urllib.request.urlopen(address) as answer:  # noqa: S310 - the address is ours.
        assert answer.read() == b"png"


def test_a_listing_names_objects_as_events_do(object_store: Buckets) -> None:
    versions = [object_store.put(object_store.uploads, KEY, body)["VersionId"] for body in (b"1", b"2")]
    etag = object_store.put(object_store.plain, KEY)["ETag"].strip('"')
    versioned = [found for page in object_store.objects.pages(object_store.uploads) for found in page]
    plain = [found for page in object_store.objects.pages(object_store.plain) for found in page]
    assert {(found.key, found.version.version_id) for found in versioned} == {(KEY, version) for version in versions}
    assert [(found.key, found.version.version_id, found.version.etag) for found in plain] == [(KEY, None, etag)]


def test_a_bucket_that_is_not_there_is_an_outage_not_an_empty_one(object_store: Buckets) -> None:
    assert not object_store.objects.reachable("nowhere")
    with pytest.raises(ObjectStoreDownError):
        list(object_store.objects.pages("nowhere"))
