"""What becomes of a file that is fetched from a platform's address, by what its server answers. Pure."""

from enum import StrEnum
from http import HTTPStatus

# Waits after failed attempts, in seconds; after the last one the fetch has failed.
BACKOFF_SECONDS = (5.0, 30.0, 120.0, 600.0, 1800.0)
_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class FetchState(StrEnum):
    """Where a fetch stands; the last two are final."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"


class FetchReason(StrEnum):
    """Why a fetch has failed; stored with it and shown to users."""

    GONE = "gone"  # 404 or 410
    REFUSED = "refused"  # any other 4xx, or the image was erased
    TOO_LARGE = "too_large"
    NOT_AN_IMAGE = "not_an_image"
    FORBIDDEN_ADDRESS = "forbidden_address"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    UNREACHABLE = "unreachable"  # after the last attempt


def reason_for(status: int) -> FetchReason | None:
    """Return why an answer of this status ends a fetch; None where it is worth another attempt, such as a 5xx."""
    if status in _GONE:
        return FetchReason.GONE
    if status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    return FetchReason.REFUSED


def wait_after(attempts: int) -> float | None:
    """Return the seconds until the next attempt after so many; None after the last one."""
    return BACKOFF_SECONDS[attempts - 1] if attempts <= len(BACKOFF_SECONDS) else None
