"""Images: upload one, ask what is served for one, its history, heatmaps and duplicates, erase it.

An image id may hold slashes. Percent-encoded as one segment every id is in
reach; with slashes as they are, a last segment that names a route is taken for
that route.
"""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AwareDatetime
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from api import parts
from api.answers.artifacts import Artifacts
from api.answers.waiting import LONGEST_SECONDS
from api.auth import Ingester, Needs, Operator
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.cursors import Cursor, Limit, decode_cursor, next_cursor
from api.requests.etags import NOT_MODIFIED, tagged
from api.requests.idempotency import Once, OnceKey, OnceRoute
from api.requests.image_ids import image_path, unknown_image
from api.requests.uploads import IMAGE_ID_HEADER, SOURCE_HEADER, Uploads, fingerprint_of
from api.schemas.images import AcceptedUpload, AskedHeatmaps, ImageOut, NearImage, NearImages
from api.schemas.verdicts import History, PastVerdict
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.heatmap_requests import NotJudgedError
from worker.database.served import ENDED, ServedImage
from worker.database.tables import Fetch
from worker.decisions.near_hashes import MOST_DISTANCE
from worker.detectors.names import DetectorName

router = APIRouter(prefix="/v1/images", tags=["images"], responses=problems(404), route_class=OnceRoute)

_may_read = Depends(Needs(Scope.READ))
ImageId = Annotated[
    str,
    Path(min_length=1, description="The platform's own id, percent-encoded; slashes may stand as they are."),
]
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


@router.post("", status_code=HTTPStatus.ACCEPTED, openapi_extra=_UPLOAD, responses=problems(404, 409, 415, *WITH_BODY))
async def upload_image(
    request: Request,
    response: Response,
    uploads: Uploads,
    actor: Ingester,
    key: OnceKey,
) -> AcceptedUpload:
    """Upload an image, as a form with `file` or as the raw body; its verdict comes by itself."""
    async with uploads.receive(request) as upload:
        if key is not None:
            await key.claim(request, actor, fingerprint_of(upload))
        accepted = await run_in_threadpool(uploads.accept, upload, actor, key.text if key else None)
    response.headers["Location"] = image_path(accepted.image_id)
    return accepted


@router.get("/{image_id:encoded}/verdicts", dependencies=[_may_read])
def list_image_verdicts(
    image_id: ImageId,
    queries: parts.Queries,
    *,
    as_of: AsOf = None,
    bundle: Annotated[str | None, Query(description="Only verdicts of this bundle version.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    shadow: Annotated[bool, Query(description="Also a challenger's verdicts, which are never served.")] = False,
) -> History:
    """List every verdict there was for an image, newest first, over all its versions."""
    rows = queries.history(
        image_id, limit=limit + 1, before=decode_cursor(cursor), as_of=as_of, shadow=shadow, bundle=bundle
    )
    if rows is None:
        raise unknown_image()
    withdrawn = queries.withdrawn(as_of)
    return History(
        items=[PastVerdict.in_history(verdict, image, withdrawn) for verdict, image in rows[:limit]],
        next_cursor=next_cursor([verdict.id for verdict, _ in rows], limit),
    )


@router.get(
    "/{image_id:encoded}/heatmap",
    status_code=HTTPStatus.TEMPORARY_REDIRECT,
    response_class=RedirectResponse,
    dependencies=[_may_read],
)
def get_heatmap(
    image_id: ImageId,
    detector: DetectorName,
    queries: parts.Queries,
    artifacts: Artifacts,
    form: Annotated[Literal["overlay", "raw"], Query(description="A PNG, or the map itself as `.npy`.")] = "overlay",
) -> RedirectResponse:
    """Redirect to one detector's newest heatmap; the address works without a key, for a short time."""
    heatmap = queries.heatmap(image_id, detector)
    key = heatmap and (heatmap.key if form == "overlay" else heatmap.raw_key)
    if not key:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "There is no heatmap of this detector for this image; a POST here asks for one."
        )
    return artifacts.lead_to(key)


@router.get(
    "/{image_id:encoded}/frame",
    status_code=HTTPStatus.TEMPORARY_REDIRECT,
    response_class=RedirectResponse,
    dependencies=[_may_read],
)
def get_frame(image_id: ImageId, queries: parts.Queries, artifacts: Artifacts) -> RedirectResponse:
    """Redirect to a picture of the gravest frame of an animation; the address works without a key, for a short time."""
    key = queries.frame(image_id)
    if key is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no picture of a frame: the image is still, or unknown.")
    return artifacts.lead_to(key)


@router.get(
    "/{image_id:encoded}/thumbnail",
    status_code=HTTPStatus.TEMPORARY_REDIRECT,
    response_class=RedirectResponse,
    responses={202: {"description": "It is being made; ask again after `Retry-After` seconds"}},
    dependencies=[_may_read],
)
def get_thumbnail(image_id: ImageId, thumbnails: parts.Thumbnails, artifacts: Artifacts) -> Response:
    """Redirect to a small WebP picture; one that is missing is made now, and the answer is 202 meanwhile."""
    thumbnail = thumbnails.find(image_id)
    if thumbnail is None:
        raise unknown_image()
    if thumbnail.key is not None:
        return artifacts.lead_to(thumbnail.key)
    if not thumbnail.is_coming:
        raise ProblemError(HTTPStatus.NOT_FOUND, "No thumbnail can be made of this file.")
    return Response(status_code=HTTPStatus.ACCEPTED, headers={"Retry-After": "1"})


@router.post("/{image_id:encoded}/heatmap", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409, *WITH_BODY))
def ask_heatmaps(
    image_id: ImageId, heatmap_requests: parts.HeatmapRequests, actor: Annotated[Actor, Depends(Once(Scope.REVIEW))]
) -> AskedHeatmaps:
    """Ask for the heatmaps of an image that was not flagged; they are made once, however often it is asked."""
    try:
        request = heatmap_requests.ask(actor, image_id)
    except NotJudgedError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    if request is None:
        raise unknown_image()
    return AskedHeatmaps(image_id=image_id, ready=request.ready, scan_id=request.scan_id)


@router.get("/{image_id:encoded}/duplicates", dependencies=[_may_read])
def list_duplicates(
    image_id: ImageId,
    duplicates: parts.Duplicates,
    most_distance: Annotated[
        int, Query(ge=0, le=MOST_DISTANCE, description="Bits of 256 that may differ; 0 to 31.")
    ] = MOST_DISTANCE,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> NearImages:
    """List images of the same bytes and images that look alike, the nearest first."""
    near = duplicates.near(image_id, most_distance=most_distance, limit=limit)
    if near is None:
        raise unknown_image()
    return NearImages(items=[NearImage.of(one) for one in near])


@router.get("/{image_id:encoded}", response_model=ImageOut, responses=NOT_MODIFIED, dependencies=[_may_read])
async def get_image(  # noqa: PLR0917 - parameters of the query
    request: Request,
    image_id: ImageId,
    queries: parts.Queries,
    waiting: parts.Waiting,
    as_of: AsOf = None,
    wait: Annotated[
        int,
        Query(ge=0, le=LONGEST_SECONDS, description="Seconds to wait for a verdict; answered as soon as it is there."),
    ] = 0,
) -> Response:
    """Return an image's newest version, where its scan stands, and the verdict that is served."""

    def look_now() -> ServedImage | Fetch | None:
        return queries.served(image_id, as_of) or queries.fetch(image_id)

    async def look() -> ServedImage | Fetch | None:
        return await run_in_threadpool(look_now)

    answer = await waiting.until(look, _is_settled, seconds=wait, has_gone=request.is_disconnected)
    if isinstance(answer, ServedImage):
        return tagged(request, ImageOut.of(answer))
    raise unknown_image() if answer is None else _not_here(answer)


def _not_here(fetch: Fetch) -> ProblemError:
    """Return the 404 of an image whose file is still to be fetched, or could not be."""
    detail = f"The file of this image could not be fetched: {fetch.reason}."
    if fetch.finished_at is None:
        detail = "The file of this image is still to be fetched; ask again, with `wait`."
    standing = {"id": fetch.id, "state": fetch.state, "reason": fetch.reason}
    return ProblemError(HTTPStatus.NOT_FOUND, detail, fetch=standing)


def _is_settled(answer: ServedImage | Fetch | None) -> bool:
    """Tell whether waiting changes nothing: the image is unknown, has its verdict, or ended without."""
    if not isinstance(answer, ServedImage):
        return answer is None or answer.finished_at is not None
    return answer.verdict is not None or answer.scan is None or answer.scan.state in ENDED


@router.delete(
    "/{image_id:encoded}",
    status_code=HTTPStatus.NO_CONTENT,
    responses={204: {"description": "Erased; what lies in the object store goes within a minute"}},
)
def erase_image(image_id: ImageId, erasure: parts.Erasure, actor: Operator) -> None:
    """Erase an image for good: its ids, labels, heatmaps, reasons and provenance; a tombstone stays.

    An object that the platform put into its bucket by itself stays there and
    is not taken in again; one that was uploaded through the API is deleted.
    """
    if not erasure.erase(actor, image_id):
        raise unknown_image()
