"""ETags: a client that has an answer already is told that it still holds (RFC 9110, section 13)."""

from hashlib import sha256
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel
from starlette.responses import JSONResponse


def tagged(request: Request, answer: BaseModel) -> Response:
    """Return an answer under the hash of its content, or 304 where the client has it."""
    response = JSONResponse(answer.model_dump(mode="json"))
    tag = f'"{sha256(bytes(response.body)).hexdigest()[:32]}"'
    # Whoever keeps it asks again before showing it: a verdict may change at any time.
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if _names(request.headers.get("If-None-Match", ""), tag):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return response


def _names(header: str, tag: str) -> bool:
    # Weak comparison: `W/` says only that a proxy may have compressed it.
    return header.strip() == "*" or tag in {part.strip().removeprefix("W/") for part in header.split(",")}


NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "What you have still holds (`If-None-Match`)"}}
