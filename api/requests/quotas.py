"""Who has asked how often: requests count against their key, wrong keys against the address that they come from."""

from http import HTTPStatus
from ipaddress import IPv6Address, ip_address

from fastapi import Request

from api.errors.problems import ProblemError
from api.requests.pace import Pace, Quota
from worker.database.api_keys import Principal

# One customer of a provider has all of these addresses.
_IPV6_HOST_BITS = 64


async def count_request(request: Request, pace: Pace, principal: Principal) -> None:
    """Count a request against its key, whatever becomes of it.

    Raises:
        ProblemError: 429, the key asks too often.
    """
    _settle(request, "key", await pace.count(str(principal.key_id)), "This API key asks too often")


async def refuse_guesser(request: Request, guesses: Pace) -> None:
    """Refuse an address that has shown too many wrong keys; nothing is counted.

    Raises:
        ProblemError: 429, it has.
    """
    _settle(request, "address", await guesses.look(address_of(request)), _TOO_MANY)


async def count_guess(request: Request, guesses: Pace) -> None:
    """Count a wrong or missing key against the address that it comes from.

    Raises:
        ProblemError: 429, there were too many.
    """
    _settle(request, "address", await guesses.count(address_of(request)), _TOO_MANY)


_TOO_MANY = "Too many requests without a good API key come from this address"


def address_of(request: Request) -> str:
    """Return the address that a request comes from; of IPv6 the network, which one customer has whole."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    inner = address.ipv4_mapped
    return str(inner or IPv6Address(int(address) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS))


def _settle(request: Request, name: str, quota: Quota | None, why: str) -> None:
    if quota is None:
        return
    request.state.rate_limit = quota.headers(name)
    if not quota.allowed:
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"{why}; wait {quota.reset_seconds} s.",
            headers={"Retry-After": str(quota.reset_seconds)},
        )
