"""Every kind of error there is: what it means and what to do; the `type` of a problem leads here."""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

PATH = "/v1/errors"


class ErrorCode(StrEnum):
    """The last part of a problem's `type`."""

    BAD_REQUEST = "bad-request"
    UNAUTHORIZED = "unauthorized"
    MISSING_SCOPE = "missing-scope"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    BODY_TOO_SLOW = "body-too-slow"
    CONFLICT = "conflict"
    STILL_RUNNING = "still-running"
    CURSOR_EXPIRED = "cursor-expired"
    BODY_TOO_LARGE = "body-too-large"
    NOT_AN_IMAGE = "not-an-image"
    INVALID = "invalid"
    KEY_REUSED = "key-reused"
    TOO_MANY_REQUESTS = "too-many-requests"
    TOO_MANY_UPLOADS = "too-many-uploads"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Kind:
    """A kind of error: its status, its title, what it means and what to do."""

    status: HTTPStatus
    title: str
    meaning: str
    remedy: str


CATALOGUE: dict[ErrorCode, Kind] = {
    ErrorCode.BAD_REQUEST: Kind(
        HTTPStatus.BAD_REQUEST,
        "Bad request",
        "The request is broken: no JSON where JSON is due, or a form that ends in the middle.",
        "Mend what builds the request; sending it again as it is gives the same answer.",
    ),
    ErrorCode.UNAUTHORIZED: Kind(
        HTTPStatus.UNAUTHORIZED,
        "No good key",
        "The request shows no API key, or one that is unknown, expired or revoked.",
        "Send `Authorization: Bearer assay_…`. Make a key with `assay keys create`.",
    ),
    ErrorCode.MISSING_SCOPE: Kind(
        HTTPStatus.FORBIDDEN,
        "Missing scope",
        "The key is good but may not do this; `missing_scope` names what it lacks.",
        "Make a key with that scope: `assay keys create --scope …`.",
    ),
    ErrorCode.NOT_FOUND: Kind(
        HTTPStatus.NOT_FOUND,
        "Not found",
        "There is nothing here: the id is unknown, the image was erased, or the path is wrong.",
        "Check the id; percent-encode image ids. A new upload is found once its request was answered.",
    ),
    ErrorCode.METHOD_NOT_ALLOWED: Kind(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "Method not allowed",
        "The path exists, but not with this method; `Allow` names those it has.",
        "Use one of those.",
    ),
    ErrorCode.BODY_TOO_SLOW: Kind(
        HTTPStatus.REQUEST_TIMEOUT,
        "Body too slow",
        "The body of the request stopped coming, or was shorter than its `Content-Length`.",
        "Send it again; if this happens often, look at the network between you and Assay.",
    ),
    ErrorCode.CONFLICT: Kind(
        HTTPStatus.CONFLICT,
        "Conflict",
        "What is asked for does not go with how things stand, such as replaying a scan that is not dead.",
        "Look at how things stand; `detail` says what is in the way.",
    ),
    ErrorCode.STILL_RUNNING: Kind(
        HTTPStatus.CONFLICT,
        "Still running",
        "A request with this `Idempotency-Key` is being served right now.",
        "Wait for `Retry-After` seconds and send it again: the answer will be that of the first request.",
    ),
    ErrorCode.CURSOR_EXPIRED: Kind(
        HTTPStatus.GONE,
        "Cursor expired",
        "What follows this cursor of `/v1/changes` is kept no more, or the database was restored from a backup.",
        "Take a new cursor from `/v1/changes?start=newest`, then read `/v1/verdicts?since=` the last change you had.",
    ),
    ErrorCode.BODY_TOO_LARGE: Kind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "Body too large",
        "The body has more bytes than `limit_bytes`.",
        "Send less; the largest image is `ASSAY_MAX_IMAGE_BYTES`.",
    ),
    ErrorCode.NOT_AN_IMAGE: Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Not an image",
        "The `Content-Type` or the bytes are not those of an image that Assay knows.",
        "Send JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC, AVIF or ICO, as `image/*` or as the `file` of a form.",
    ),
    ErrorCode.INVALID: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid",
        "A part of the request has a value that cannot be; `errors` names each part and why.",
        "Mend the parts that are named.",
    ),
    ErrorCode.KEY_REUSED: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Idempotency key reused",
        "This `Idempotency-Key` was used for another request within the last 24 hours.",
        "Take a new key for each new request, such as a UUID; keep it when you send the same one again.",
    ),
    ErrorCode.TOO_MANY_REQUESTS: Kind(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many requests",
        "This key has made more requests than `ASSAY_RATE_LIMIT` allows.",
        "Wait for `Retry-After` seconds. Ask for many images at once where there is a way to.",
    ),
    ErrorCode.TOO_MANY_UPLOADS: Kind(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many uploads at once",
        "All memory that is set aside for uploads is taken.",
        "Wait for `Retry-After` seconds and send it again, or put the image into the bucket yourself.",
    ),
    ErrorCode.INTERNAL: Kind(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Internal error",
        "Something went wrong inside Assay; the log has it under the request id.",
        "Send it again once; if it stays so, report the request id.",
    ),
    ErrorCode.UNAVAILABLE: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Unavailable",
        "A part that Assay needs does not answer now.",
        "Wait for `Retry-After` seconds and send it again. `/health/ready` says which part it is.",
    ),
}
_BY_STATUS = {kind.status: code for code, kind in reversed(CATALOGUE.items())}


def code_for(status: int) -> ErrorCode:
    """Return the kind of error that a status stands for where nothing more is known."""
    code = _BY_STATUS.get(HTTPStatus(status))
    return code or (ErrorCode.BAD_REQUEST if status < HTTPStatus.INTERNAL_SERVER_ERROR else ErrorCode.INTERNAL)


def type_of(code: ErrorCode) -> str:
    """Return the `type` of a problem: a reference that leads to its entry (RFC 9457, section 3.1.1)."""
    return f"{PATH}/{code}"
