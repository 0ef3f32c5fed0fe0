"""Styles, scripts and the font: served as they lie here, under addresses that change with their content."""

from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from api.console.visitor import HOME
from api.errors.problems import ProblemError

router = APIRouter(prefix=f"{HOME}/static", include_in_schema=False)

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
_YEAR = "public, max-age=31536000, immutable"
_DAY = "public, max-age=86400"
_FOLDERS = ("", "vendor/")


class _File(NamedTuple):
    body: bytes
    media_type: str
    digest: str


@router.get("/{name:path}")
def get_static_file(name: str, request: Request) -> Response:
    """Return a file; one that was asked for by its content may be kept for good."""
    file = _files().get(name)
    if file is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no file of this name.")
    etag = f'"{file.digest}"'
    named = request.query_params.get("v") == file.digest
    headers = {
        "ETag": etag,
        # The style names the font, and no style knows digests.
        "Cache-Control": _YEAR if named else _DAY if file.media_type == "font/woff2" else "no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("If-None-Match") == etag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.body, media_type=file.media_type, headers=headers)


def address_of(name: str) -> str:
    """Return the address of a file, for templates; raises KeyError where there is none."""
    return f"{HOME}/static/{name}?v={_files()[name].digest}"


@cache
def _files() -> dict[str, _File]:
    by_name = {}
    for folder in _FOLDERS:
        for entry in (files("api.console") / "static" / folder).iterdir():
            suffix = "." + entry.name.rpartition(".")[2]
            if entry.is_file() and suffix in _TYPES:
                body = entry.read_bytes()
                by_name[folder + entry.name] = _File(body, _TYPES[suffix], sha256(body).hexdigest()[:16])
    return by_name
