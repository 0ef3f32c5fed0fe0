"""Where requests for platforms may go: never into the network that Assay runs in, unless settings allow it.

Webhooks are sent and images are fetched under this guard.

A name is resolved once, every address is checked, and the request goes to the
very address that was checked, so a name that changes its mind in between
(DNS rebinding) gains nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from worker.errors import AssayError

_HTTPS = 443
_HTTP = 80
_NAT64 = IPv6Network("64:ff9b::/96")
# What Python 3.11 takes for public: addresses for protocols (RFC 6890, where a cloud keeps its metadata), Azure's host
# as its virtual machines see it, and the site-local addresses of old (RFC 3879).
# Those of documentation (RFC 9637) and of the 6to4 relays of old (RFC 7526) lead nowhere good.
_INNER = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("168.63.129.16/32"),
    IPv6Network("fec0::/10"),
    IPv6Network("3fff::/20"),
)
# Names that take long to resolve must not hold up whatever else runs in threads.
_RESOLVERS = ThreadPoolExecutor(64, thread_name_prefix="resolve")
Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class TargetRefusedError(AssayError):
    """No request may be sent to this address."""


class NotPublicError(TargetRefusedError):
    """This address is not public, or not encrypted; where private ones are allowed, it would do."""


@dataclass(frozen=True)
class Target:
    """An address that was checked: connect to ``address``, speak as to ``host``."""

    scheme: str
    host: str
    port: int
    address: str
    path: str

    def url(self) -> str:
        """Return the URL with the checked address in place of the name."""
        literal = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{literal}:{self.port}{self.path}"

    def host_header(self) -> str:
        """Return what the receiver is called: with its port where that is not the scheme's own."""
        usual = _HTTPS if self.scheme == "https" else _HTTP
        literal = f"[{self.host}]" if ":" in self.host else self.host
        return literal if self.port == usual else f"{literal}:{self.port}"


def checked_url(url: str, *, private: bool, ports: Collection[int] = ()) -> str:
    """Return a URL whose form will do; where its name leads is checked whenever something is sent.

    Args:
        url: as a platform gives it.
        private: whether private addresses, and `http`, are allowed.
        ports: that are allowed; any where there are none.

    Raises:
        TargetRefusedError: no `https`, no host, with a user name, a port that is not allowed, or a literal address that
            is not public.
    """
    try:
        parts = urlsplit(url)
        port = _port_of(parts)
    except ValueError as error:
        raise TargetRefusedError("this is no URL") from error
    if not url.isascii() or any(character <= " " for character in url):
        raise TargetRefusedError("a URL holds visible ASCII characters only; encode the others")
    if parts.scheme not in ({"https", "http"} if private else {"https"}):
        refused = NotPublicError if parts.scheme == "http" else TargetRefusedError
        raise refused("the URL must begin with https://")
    _check_host(parts.hostname, private=private)
    _check_port(port, ports)
    if parts.username is not None or parts.fragment:
        raise TargetRefusedError("the URL must hold neither a user name nor a fragment")
    return url


def _port_of(parts: SplitResult) -> int:
    return parts.port or (_HTTP if parts.scheme == "http" else _HTTPS)


def _check_port(port: int, ports: Collection[int]) -> None:
    if ports and port not in ports:
        raise TargetRefusedError(f"port {port} is not allowed; allowed are {', '.join(map(str, sorted(ports)))}")


def _check_host(host: str | None, *, private: bool) -> None:
    if not host:
        raise TargetRefusedError("the URL names no host")
    literal = None if private else _literal(host)
    if literal is not None and not is_public(literal):
        raise NotPublicError("the URL names an address that is not public")


async def find_target(
    url: str, *, private: bool, ports: Collection[int] = (), resolve: "Resolve | None" = None
) -> Target:
    """Resolve the host of a URL and return an address that may be connected to.

    Raises:
        TargetRefusedError: the URL will not do, or one of its addresses is not public.
        OSError: the name cannot be resolved.
    """
    parts = urlsplit(checked_url(url, private=private, ports=ports))
    host = parts.hostname or ""
    port = _port_of(parts)
    answers = await (resolve or _resolve)(host, port)
    addresses = [ip_address(address.partition("%")[0]) for address in answers]
    if not addresses:
        raise TargetRefusedError("the host has no address")
    # One bad address condemns the name: which of them is meant is for whoever set it up to say.
    if not private and not all(map(is_public, addresses)):
        raise NotPublicError("the host has an address that is not public")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, str(addresses[0]), path)


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet: not private, loopback, link-local, shared or special.

    Addresses that carry another one inside (mapped, 6to4, Teredo, NAT64) are what they carry.
    """
    if isinstance(address, IPv6Address) and address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    special = not address.is_global or address.is_multicast or address.is_reserved
    special = special or any(address in network for network in _INNER)
    return not special and all(map(is_public, _carried(address)))


def _carried(address: Address) -> list[Address]:
    if not isinstance(address, IPv6Address):
        return []
    carried: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    return [inner for inner in carried if inner is not None]


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        # What C libraries also take for an address: 127.1, 0x7f000001, 2130706433.
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


async def _resolve(host: str, port: int) -> Sequence[str]:
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    records = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, look_up)
    return [str(sockaddr[0]) for *_, sockaddr in records]
