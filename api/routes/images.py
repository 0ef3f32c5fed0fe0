"""Images: upload one, ask what is served for one, read its history, see its heatmaps.

An image id may hold slashes, so the routes with a suffix stand before the one
without; an id that itself ends in ``/verdicts`` or ``/heatmap`` is out of
reach here.
"""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AwareDatetime
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from api.auth import Needs
from api.cursors import Cursor, Limit, decode_cursor, next_cursor
from api.image_ids import image_path
from api.problems import RESPONSES, ProblemError
from api.schemas import Accepted, History, ImageOut, PastVerdict
from api.services import FromApp
from api.uploads import IMAGE_ID_HEADER, SOURCE_HEADER, accept_upload, read_upload
from worker.store.api_keys import Scope

router = APIRouter(prefix="/v1/images", tags=["images"], responses=RESPONSES)

_may_read = Depends(Needs(Scope.READ))
ImageId = Annotated[str, Path(description="The platform's own id, percent-encoded; slashes may stand as they are.")]
AsOf = Annotated[
    AwareDatetime | None, Query(description="What was served at this time (RFC 3339, `2026-11-21T12:00:00Z`).")
]

_BINARY = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": _BINARY, "image_id": {"type": "string"}, "source": {"type": "string"}},
}
_HEADER = {"in": "header", "required": False, "schema": {"type": "string"}}
# The body is read by hand, under limits, so FastAPI cannot describe it by itself.
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _FORM}, "image/*": {"schema": _BINARY}},
    },
    "parameters": [
        {"name": IMAGE_ID_HEADER, "description": "The platform's own id, percent-encoded UTF-8.", **_HEADER},
        {"name": SOURCE_HEADER, "description": "Where on the platform it comes from, likewise.", **_HEADER},
    ],
}


@router.post("", status_code=HTTPStatus.ACCEPTED, openapi_extra=_UPLOAD, dependencies=[Depends(Needs(Scope.INGEST))])
async def upload_image(request: Request, response: Response, services: FromApp) -> Accepted:
    """Upload an image, as a form with `file` or as the raw body; its verdict comes by itself."""
    with services.budget.hold() as held:
        upload = await read_upload(request, services.max_image_bytes, held)
        accepted = await run_in_threadpool(accept_upload, services, upload)
    response.headers["Location"] = image_path(accepted.image_id)
    return accepted


@router.get("/{image_id:path}/verdicts", dependencies=[_may_read])
def list_verdicts(
    image_id: ImageId,
    services: FromApp,
    *,
    as_of: AsOf = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    shadow: Annotated[bool, Query(description="Also a challenger's verdicts, which are never served.")] = False,
) -> History:
    """List every verdict there was for an image, newest first, over all its versions."""
    rows = services.queries.history(image_id, limit=limit + 1, before=decode_cursor(cursor), as_of=as_of, shadow=shadow)
    if rows is None:
        raise _unknown()
    return History(
        items=[PastVerdict.of(verdict, image) for verdict, image in rows[:limit]],
        next_cursor=next_cursor([verdict.id for verdict, _ in rows], limit),
    )


@router.get(
    "/{image_id:path}/heatmap",
    status_code=HTTPStatus.TEMPORARY_REDIRECT,
    response_class=RedirectResponse,
    dependencies=[_may_read],
)
def get_heatmap(image_id: ImageId, detector: Literal["clip", "convnext"], services: FromApp) -> RedirectResponse:
    """Redirect to one detector's newest heatmap; the address works without a key, for a short time."""
    heatmap = services.queries.heatmap(image_id, detector)
    if heatmap is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no heatmap of this detector for this image.")
    address = services.objects.presigned_url(services.artifact_bucket, heatmap.key, services.presign_seconds)
    return RedirectResponse(address, HTTPStatus.TEMPORARY_REDIRECT, {"Cache-Control": "no-store"})


@router.get("/{image_id:path}", dependencies=[_may_read])
def get_image(image_id: ImageId, services: FromApp, as_of: AsOf = None) -> ImageOut:
    """Return an image's newest version, where its scan stands, and the verdict that is served."""
    served = services.queries.served(image_id, as_of)
    if served is None:
        raise _unknown()
    return ImageOut.of(served)


def _unknown() -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, "There is no image of this id.")
