"""One contract for every store that tells of arrived objects; the payloads lie in ``events/``, one file each."""

import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ingest.events import ObjectCreated, UnknownEventError, parse_events
from worker.objects.versions import clean_etag, clean_version_id

EVENTS = Path(__file__).parent / "events"
KEY = "dir/a b+ü%.jpg"
FORM_ENCODED = "dir/a+b%2B%C3%BC%25.jpg"
QUERY_ENCODED = "dir%2Fa+b%2B%C3%BC%25.jpg"
ETAG = "4b3a6218bb3e3a7303e8a171a60fcf92"
AWS_VERSION = "096fKKXTRTtl3on89fVO.nfljtsv6qko"


def arrived(version_id: str | None, *keys: str, etag: str = ETAG, size: int = 5) -> ObjectCreated:
    return ObjectCreated("uploads", keys, version_id, etag, size)


ARRIVALS = {
    "aws_2_1": [arrived(AWS_VERSION, KEY, FORM_ENCODED)],
    "aws_2_2": [arrived(AWS_VERSION, KEY, FORM_ENCODED)],
    "aws_2_3": [arrived(AWS_VERSION, KEY, FORM_ENCODED)],
    "aws_2_4": [arrived(AWS_VERSION, KEY, FORM_ENCODED)],
    "aws_2_5": [arrived(AWS_VERSION, KEY, FORM_ENCODED)],
    "aws_multipart_unversioned": [arrived(None, KEY, FORM_ENCODED, etag="d41d8cd98f00b204e9800998ecf8427e-3")],
    "aws_several_records": [
        arrived(AWS_VERSION, KEY, FORM_ENCODED),
        ObjectCreated("uploads", ("second.png",), "v2", "e2", 6),
    ],
    "sns_envelope": [arrived(AWS_VERSION, KEY, FORM_ENCODED)],
    "eventbridge": [arrived("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", KEY)],
    "minio_webhook": [arrived(None, KEY, QUERY_ENCODED)],
    "minio_webhook_versioned": [arrived("d3b07384-d113-4ec5-a5d6-0f7a8d3c3a11", KEY, QUERY_ENCODED)],
    "minio_webhook_null_version": [arrived(None, KEY, QUERY_ENCODED)],
    "rustfs_webhook": [arrived(None, KEY, QUERY_ENCODED)],
    # Ceph's key is raw; "%." is no escape, so decoding it only loses the plus sign.
    "ceph_webhook": [arrived(None, KEY, "dir/a b ü%.jpg")],
    "ceph_webhook_older": [arrived(None, KEY, "dir/a b ü%.jpg")],
    "ministack": [arrived("4083dfc2-ccd2-4542-bb9d-0da0417f7020", KEY, FORM_ENCODED)],
}
NOTHING_ARRIVED = (
    "aws_removed",
    "aws_restored",
    "aws_test_event",
    "sns_test_event",
    "eventbridge_deleted",
    "minio_removed",
)


def payload(name: str) -> bytes:
    return (EVENTS / f"{name}.json").read_bytes()


def record(**found: object) -> str:
    event = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "uploads"}, "object": found}}
    return json.dumps({"Records": [event]})


def test_every_payload_has_its_expectation() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} == {*ARRIVALS, *NOTHING_ARRIVED}


@pytest.mark.parametrize("name", ARRIVALS)
def test_an_arrival_is_read_whoever_tells_it(name: str) -> None:
    assert parse_events(payload(name)) == ARRIVALS[name]


@pytest.mark.parametrize("name", NOTHING_ARRIVED)
def test_events_of_other_kinds_are_known_and_empty(name: str) -> None:
    assert parse_events(payload(name)) == []


@pytest.mark.parametrize("name", ARRIVALS)
def test_the_same_event_twice_reads_the_same(name: str) -> None:
    assert parse_events(payload(name)) == parse_events(payload(name).decode())


@pytest.mark.parametrize("missing", ["", "null", None, 7, [], {}])
def test_a_version_id_that_says_nothing_is_none(missing: object) -> None:
    assert clean_version_id(missing) is None
    assert parse_events(record(key="a.jpg", versionId=missing))[0].version_id is None


def test_an_etag_loses_its_quotes() -> None:
    assert [clean_etag(etag) for etag in ('"abc"', "abc", '""', "", None, 5)] == ["abc", "abc", None, None, None, None]


@pytest.mark.parametrize("hostile", ["a\x00b", "\ud800", "x" * 1025])
def test_versions_and_etags_that_no_database_could_hold_count_as_missing(hostile: str) -> None:
    assert parse_events(record(key="a.jpg", versionId=hostile, eTag=hostile)) == [ObjectCreated("uploads", ("a.jpg",))]


@pytest.mark.parametrize("size", [-1, 2**63, True, "5", 1.5, None])
def test_a_size_that_is_no_size_counts_as_missing(size: object) -> None:
    assert parse_events(record(key="a.jpg", size=size))[0].size is None


@pytest.mark.parametrize(
    "key",
    ["", None, 5, ["a"], "a\x00b", "\ud800", "é" * 513],
    ids=["empty", "missing", "number", "list", "nul", "half a surrogate pair", "longer than any store's"],
)
def test_a_key_that_no_object_can_have_is_an_unknown_event(key: object) -> None:
    with pytest.raises(UnknownEventError):
        parse_events(record(key=key))


def test_of_a_key_only_the_possible_readings_remain() -> None:
    assert parse_events(record(key="100%00.jpg"))[0].keys == ("100%00.jpg",)


def _nested(depth: int) -> str:
    body = payload("aws_2_5").decode()
    for _ in range(depth):
        body = json.dumps({"Type": "Notification", "Message": body})
    return body


def test_envelopes_nest_no_deeper_than_anybody_nests_them() -> None:
    assert parse_events(_nested(3)) == ARRIVALS["aws_2_5"]
    with pytest.raises(UnknownEventError):
        parse_events(_nested(4))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b'"Records"',
        b"{}",
        b'{"Records": {}}',
        b'{"Records": [7]}',
        b'{"Records": [[]]}',
        b'{"Records": [null]}',
        b'{"Records": [{}]}',
        b'{"Records": [{"eventName": "ObjectCreated:Put"}]}',
        b'{"Records": [{"eventName": "ObjectCreated:Put", "s3": []}]}',
        b'{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": 7}, "object": {"key": "a"}}}]}',
        b'{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": ""}, "object": {"key": "a"}}}]}',
        b'{"source": "aws.s3", "detail-type": "Object Created"}',
        b'{"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": 1, "object": 2}}',
        b'{"Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe"}',
        b"[" * 100_000,
        b'{"Records": [' * 50_000,
        b'{"Records": [' + b"9" * 5_000 + b"]}",
    ],
)
def test_what_is_no_event_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(UnknownEventError):
        parse_events(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["Records", "eventName", "s3", "bucket", "object", "name", "key", "Message", "detail"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_gives_arrivals_or_an_unknown_event(event: object) -> None:
    try:
        created = parse_events(json.dumps(event))
    except UnknownEventError:
        return
    assert all(found.bucket and found.keys for found in created)


@given(st.text(min_size=1, max_size=60).filter(lambda key: "\x00" not in key and key.isprintable()))
def test_every_key_survives_form_encoding(key: str) -> None:
    assert parse_events(record(key=quote_plus(key)))[0].keys[0] == key


@pytest.mark.parametrize("name", ARRIVALS)
def test_every_store_tells_when_the_object_arrived(name: str) -> None:
    year = {created.told_at and created.told_at.year for created in parse_events(payload(name))}
    assert year == {2026}


@pytest.mark.parametrize("time", [None, 5, "", "yesterday", "2026-11-20T09:00:00", "0001-01-01T00:00:00Z"])
def test_a_time_that_makes_no_sense_is_none(time: object) -> None:
    event = json.loads(payload("aws_2_5"))
    event["Records"][0]["eventTime"] = time
    assert [created.told_at for created in parse_events(json.dumps(event))] == [None]
