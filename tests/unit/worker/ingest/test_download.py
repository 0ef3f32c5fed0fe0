"""Downloads end as an image or with a clear reason, and never go where they must not."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.support.media import Media, media_server
from worker.decisions.fetching import FetchReason
from worker.ingest.download import Download, FetchFailedError, UnreachableError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture
def site() -> Iterator[Media]:
    with media_server() as media:
        yield media


def resolved(addresses: Sequence[str]) -> Callable[[str, int], object]:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return resolve


def download(**changes: object) -> Download:
    return Download(**{"max_bytes": 1000, "private": True, **changes})  # type: ignore[arg-type]


def reason_of(url: str, **changes: object) -> FetchReason:
    with pytest.raises(FetchFailedError) as raised:
        download(**changes)(url)
    return raised.value.reason


def test_a_file_is_told_by_its_bytes_whatever_its_server_calls_it(site: Media) -> None:
    site.pages["/a"] = (200, {"Content-Type": "text/html"}, PNG)
    found = download()(site.url("/a"))
    assert (found.body, found.type.media_type) == (PNG, "image/png")
    site.pages["/b"] = (200, {"Content-Type": "image/png"}, b"<html>")
    assert reason_of(site.url("/b")) is FetchReason.NOT_AN_IMAGE
    site.pages["/empty"] = (200, {}, b"")
    assert reason_of(site.url("/empty")) is FetchReason.NOT_AN_IMAGE


@pytest.mark.parametrize(
    ("status", "reason"), [(404, FetchReason.GONE), (410, FetchReason.GONE), (403, FetchReason.REFUSED)]
)
def test_a_refusal_ends_it(site: Media, status: int, reason: FetchReason) -> None:
    site.pages["/a"] = (status, {}, PNG)
    assert reason_of(site.url("/a")) is reason


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_of_the_server_is_worth_another_attempt(site: Media, status: int) -> None:
    site.pages["/a"] = (status, {}, PNG)
    with pytest.raises(UnreachableError, match=f"answered {status}"):
        download()(site.url("/a"))


def test_nobody_who_listens_and_nobody_who_answers_are_worth_another_attempt(site: Media) -> None:
    with pytest.raises(UnreachableError):
        download()("http://127.0.0.1:9/a")
    with pytest.raises(UnreachableError, match=r"no whole file within 0\.2 s"):
        download(total_seconds=0.2)(site.url("/slow"))
    site.pages["/short"] = (200, {"Content-Length": "500"}, PNG)  # it breaks off
    with pytest.raises(UnreachableError):
        download(total_seconds=1.0)(site.url("/short"))


def test_what_is_too_large_is_not_read_to_its_end(site: Media) -> None:
    site.pages["/told"] = (200, {"Content-Length": "100000"}, PNG)
    assert reason_of(site.url("/told")) is FetchReason.TOO_LARGE
    site.pages["/silent"] = (200, {"Content-Length": ""}, PNG + bytes(100_000))
    assert reason_of(site.url("/silent")) is FetchReason.TOO_LARGE


def test_a_packed_answer_is_not_unpacked(site: Media) -> None:
    site.pages["/a"] = (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b" + bytes(50))
    assert reason_of(site.url("/a")) is FetchReason.NOT_AN_IMAGE


def test_redirects_are_followed_some_times_and_each_is_checked(site: Media) -> None:
    site.pages["/a"] = (302, {"Location": "/b"}, b"")
    site.pages["/b"] = (307, {"Location": site.url("/c")}, b"")
    site.pages["/c"] = (200, {}, PNG)
    assert download()(site.url("/a")).body == PNG
    site.pages["/loop"] = (302, {"Location": "/loop"}, b"")
    assert reason_of(site.url("/loop")) is FetchReason.TOO_MANY_REDIRECTS
    site.pages["/file"] = (302, {"Location": "file:///etc/passwd"}, b"")
    assert reason_of(site.url("/file")) is FetchReason.FORBIDDEN_ADDRESS


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "::1", "::ffff:10.0.0.8", "100.64.0.1"]
)
def test_a_name_that_leads_inside_is_forbidden_and_nothing_is_asked(site: Media, address: str) -> None:
    outside = {"private": False, "resolve": resolved([address])}
    assert reason_of(f"https://media.example:{site.port}/a", **outside) is FetchReason.FORBIDDEN_ADDRESS
    assert site.requests == []


@pytest.mark.parametrize("url", ["http://media.example/a", "ftp://media.example/a", "https://me:pw@media.example/a"])
def test_only_https_without_a_user_name_is_asked(url: str) -> None:
    assert reason_of(url, private=False) is FetchReason.FORBIDDEN_ADDRESS


def test_the_address_that_was_checked_is_asked_as_the_host_that_was_named(site: Media) -> None:
    site.pages["/a"] = (200, {}, PNG)
    named = download(resolve=resolved(["127.0.0.1"]))(site.url("/a", "media.example"))
    assert (named.body, site.requests) == (PNG, [("/a", f"media.example:{site.port}")])
