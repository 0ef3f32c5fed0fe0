"""The platform's own ids, as they come in and as they stand in a path. Pure."""

import unicodedata
from http import HTTPStatus
from urllib.parse import quote, unquote_to_bytes

from api.errors.problems import InvalidError, ProblemError

MAX_CHARACTERS = 512
# The id and the source travel as object metadata, percent-encoded; S3 stores hold 2 KB of it, names included.
MAX_ENCODED_BYTES = 1600
MAX_SOURCE_CHARACTERS = 64
_FORBIDDEN = frozenset({"Cc", "Cs"})  # control characters, and halves of surrogate pairs


def checked_image_id(image_id: str) -> str:
    """Return an image id that can be used.

    Raises:
        InvalidError: empty, too long, dots alone, or with control characters.
    """
    if image_id in {".", ".."}:
        raise InvalidError("body", "image_id", "must not be dots alone: no address could name it")
    return _checked("image_id", image_id, MAX_CHARACTERS, MAX_ENCODED_BYTES)


def checked_source(source: str) -> str:
    """Return a source that can be used; raises as :func:`checked_image_id`."""
    return _checked("source", source, MAX_SOURCE_CHARACTERS, MAX_SOURCE_CHARACTERS * 3)


def from_header(name: str, value: str) -> str:
    """Return the text of a header: percent-encoded UTF-8, or plain UTF-8 as many clients send it.

    Args:
        name: of the header, for the error.
        value: as Starlette gives it, one character for each byte.

    Raises:
        InvalidError: no UTF-8.
    """
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode("utf-8")
    except UnicodeError as error:
        raise InvalidError("header", name, "must be percent-encoded UTF-8") from error


def image_path(image_id: str) -> str:
    """Return the path under which an image is asked for."""
    return f"/v1/images/{quote(image_id, safe='')}"


def _checked(name: str, value: str, characters: int, encoded_bytes: int) -> str:
    if not value:
        raise InvalidError("body", name, "must not be empty")
    if len(value) > characters:
        raise InvalidError("body", name, f"must have at most {characters} characters")
    if any(unicodedata.category(character) in _FORBIDDEN for character in value):
        raise InvalidError("body", name, "must not hold control characters")
    if len(quote(value)) > encoded_bytes:
        raise InvalidError("body", name, f"must be at most {encoded_bytes} bytes long when percent-encoded")
    return value


def unknown_image() -> ProblemError:
    """Return the 404 of an image id that nobody knows."""
    return ProblemError(HTTPStatus.NOT_FOUND, "There is no image of this id.")
