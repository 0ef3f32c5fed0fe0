"""What an object store's error means: the object is gone, the store is out of reach, or it refuses. One table."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from urllib3.exceptions import HTTPError

from worker.errors import AssayError, GoneError, TransientError

_BAD_REQUEST, _TOO_MANY_REQUESTS, _SERVER_ERROR = 400, 429, 500
# Codes of answers to a HEAD that may mean anything.
_UNEXPLAINED = {"400", "403", "Forbidden"}
_USER_INFO = re.compile(r"://[^/\s\"']*@")


# All that a client of the store raises.
STORE_ERRORS = (ClientError, BotoCoreError, Boto3Error, HTTPError)


class Meaning(Enum):
    """What an error of the store says of the object that was asked for."""

    GONE = "gone"
    OUTAGE = "outage"
    REFUSED = "refused"


_BY_CODE = {
    **dict.fromkeys(
        ("404", "NoSuchKey", "NoSuchVersion", "NotFound", "PreconditionFailed", "412", "MethodNotAllowed", "405"),
        Meaning.GONE,
    ),
    # Refusals that have nothing to do with the object: our credentials, our pace, our bucket.
    **dict.fromkeys(
        (
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidToken",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "RequestTimeout",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "RequestLimitExceeded",
            "TooManyRequests",
            "NoSuchBucket",
        ),
        Meaning.OUTAGE,
    ),
}


class ObjectStoreDownError(TransientError):
    """The object store does not answer; check ASSAY_S3_ENDPOINT_URL and its keys."""


class RefusedError(AssayError):
    """The object store refuses this object; check permissions, its encryption key and its storage class."""


def meaning_of(error: Exception) -> Meaning:
    """Return what an error of the store's library means; what its answer does not name is an outage."""
    answer = _answer(error)
    if answer is None:
        return Meaning.OUTAGE
    status = answer.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _SERVER_ERROR)
    refuses = _BAD_REQUEST <= status < _SERVER_ERROR and status != _TOO_MANY_REQUESTS
    return _BY_CODE.get(code_of(answer), Meaning.REFUSED if refuses else Meaning.OUTAGE)


@contextmanager
def name_trouble(place: str, *, may_be_gone: bool = True) -> Iterator[None]:
    """Raise what the store's library raises within as an error of Assay's own.

    Args:
        place: object, prefix or bucket, for the message.
        may_be_gone: false for writing and listing, where such an answer is a refusal.

    Raises:
        GoneError: there is no such object or version.
        RefusedError: the store refuses it.
        ObjectStoreDownError: the store does not answer, or does not know our credentials.
    """
    try:
        yield
    except STORE_ERRORS as error:
        raise translate(error, place, may_be_gone=may_be_gone) from error


def explain(error: Exception, look: Callable[[], object]) -> Exception:
    """Return the error that names the reason of a failed HEAD, whose answer has no body.

    Args:
        error: what the HEAD met.
        look: gets one byte of the object.
    """
    if code_of(error) in _UNEXPLAINED:
        try:
            look()
        except (ClientError, BotoCoreError) as reason:
            return reason
    return error


def translate(
    error: Exception, place: str, *, may_be_gone: bool = True
) -> GoneError | RefusedError | ObjectStoreDownError:
    """Return the error of Assay's own that an error of the store's library means; arguments as :func:`name_trouble`."""
    meaning = meaning_of(error)
    if meaning is Meaning.OUTAGE:
        return store_down(error)
    if meaning is Meaning.GONE and may_be_gone:
        return GoneError(f"there is no {place}: {code_of(error)}")
    return RefusedError(f"the object store refuses {place}: {_without_password(error)}")


def store_down(error: Exception) -> ObjectStoreDownError:
    """Return an outage in the words of the store's library, without what an address holds of user and password."""
    text = _without_password(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        text += ": set ASSAY_S3_ACCESS_KEY_ID and ASSAY_S3_SECRET_ACCESS_KEY"
    return ObjectStoreDownError(text)


def code_of(error: Exception) -> str:
    """Return the code that the store's answer names, or nothing."""
    answer = _answer(error)
    return "" if answer is None else str(answer.response.get("Error", {}).get("Code", ""))


def _answer(error: BaseException | None) -> ClientError | None:
    """Return the store's own answer; boto3 wraps the one that an upload met."""
    return error if error is None or isinstance(error, ClientError) else _answer(error.__context__)


def _without_password(error: Exception) -> str:
    return _USER_INFO.sub("://", str(error))
