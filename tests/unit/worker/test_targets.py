import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from worker.targets import Target, TargetRefusedError, checked_url, find_target, is_public

# One of each network of IANA's registries of special addresses (2026) that is not globally reachable, and others that
# lead inside.
PRIVATE = (
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",  # noqa: S104 - nothing is bound to it.
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:a9fe:a9fe::1",
    "fec0::1",
    "192.0.0.192",
    "192.88.99.1",
    "3fff::1",
    "3fff:fff:ffff::1",
    "192.0.0.8",
    "198.51.100.1",
    "203.0.113.1",
    "::10.0.0.1",
    "64:ff9b:1::a00:1",
    "100::1",
    "100:0:0:1::1",
    "2001:2::1",
    "2001:10::1",
    "5f00::1",
    "ff0e::1",
    "168.63.129.16",
    "::ffff:168.63.129.16",
)


def answer(*addresses: str) -> "Resolver":
    return Resolver(list(addresses))


class Resolver:
    """A name service that counts how often it is asked."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._addresses


@pytest.mark.parametrize("address", PRIVATE)
def test_no_special_address_is_public_however_it_is_wrapped(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://platform.example/",
        "ftp://platform.example/",
        "platform.example/hook",
        "https://",
        "https:///hook",
        "https://user:pass@platform.example/",
        "https://platform.example/#top",
        "https://platform.example:99999/",
        "https://[::1/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://platform.example/a b",
        "https://platform.example/\r\nX-Evil: 1",
        "https://plätform.example/",
        "file:///etc/passwd",
    ],
)
def test_urls_that_may_not_be_sent_to_are_refused_when_they_are_given(url: str) -> None:
    with pytest.raises(TargetRefusedError):
        checked_url(url, private=False)


def test_a_setting_allows_private_addresses_and_http() -> None:
    for url in ("http://127.0.0.1:8000/hook", "https://10.0.0.1/"):
        assert checked_url(url, private=True) == url


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_inside_is_refused_even_beside_a_public_address(address: str) -> None:
    with pytest.raises(TargetRefusedError):
        asyncio.run(find_target("https://rebind.example/", private=False, resolve=answer("8.8.8.8", address)))


def test_the_name_is_asked_once_and_the_request_goes_to_what_was_checked() -> None:
    resolver = answer("2606:4700::1111", "8.8.8.8")
    target = asyncio.run(find_target("https://platform.example:8443/hook?a=1", private=False, resolve=resolver))
    assert target == Target("https", "platform.example", 8443, "2606:4700::1111", "/hook?a=1")
    assert (target.url(), target.host_header()) == (
        "https://[2606:4700::1111]:8443/hook?a=1",
        "platform.example:8443",
    )
    assert resolver.asked == [("platform.example", 8443)]


def test_a_name_without_an_address_is_refused() -> None:
    with pytest.raises(TargetRefusedError):
        asyncio.run(find_target("https://nobody.example/", private=False, resolve=answer()))


def test_where_ports_are_named_no_other_is_sent_to() -> None:
    for url in ("https://platform.example/", "https://platform.example:8443/"):
        assert checked_url(url, private=False, ports=(443, 8443)) == url
    for url in ("https://platform.example:22/", "http://platform.example/"):
        with pytest.raises(TargetRefusedError, match="allowed are 443, 8443"):
            checked_url(url, private=True, ports=(443, 8443))
