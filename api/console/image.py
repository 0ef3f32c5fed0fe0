"""One image: the picture with its evidence, the verdict and what it stands on, its history, and what people say."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from api import parts
from api.answers.artifacts import Artifacts
from api.console.pages import HEADERS, ConsoleRoute, go, link, page
from api.console.visitor import (
    CSRF_HEADER,
    HOME,
    Form,
    FromVisitor,
    Sends,
    check_origin,
    check_scope,
    check_token,
)
from api.console.wording import headline, percent, words
from api.errors.problems import ProblemError
from api.requests.image_ids import unknown_image
from api.requests.image_types import HEAD_BYTES, image_type
from api.requests.uploads import Uploads
from worker.database.api_keys import Scope
from worker.database.heatmap_requests import NotJudgedError
from worker.database.served import Served
from worker.database.tables import LabelValue, ScanState
from worker.decisions.near_hashes import MOST_DISTANCE
from worker.detectors.names import DetectorName
from worker.errors import PermanentError

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)

ImageId = Annotated[str, Query(alias="id", min_length=1, max_length=2048)]
_HISTORY, _LABELS, _NEAR = 100, 100, 8
_ENDED = frozenset({ScanState.COMPLETED, ScanState.REJECTED, ScanState.DEAD})
# What others uploaded is shown, never run: should it be no picture after all, it may do nothing.
_PICTURE_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=300",
    "Content-Disposition": "inline",
}


@router.get("/image")
def show_image(
    image_id: ImageId,
    who: FromVisitor,
    *,
    queries: parts.Queries,
    duplicates: parts.Duplicates,
    labels: parts.Labels,
    said: str | None = None,
    asked: bool = False,
) -> Response:
    """Show an image, or that there is none; ``asked`` waits for heatmaps."""
    served = queries.served(image_id)
    if served is None:
        return page("unknown_image", who, HTTPStatus.NOT_FOUND, image_id=image_id)
    near = duplicates.near(image_id, most_distance=MOST_DISTANCE, limit=_NEAR) or ()
    about = _about(queries, labels, image_id, served, asked=asked)
    return page("image", who, image_id=image_id, said=said, near=near, asked=asked, **about)


@router.get("/image/state")
def show_state(
    image_id: ImageId, queries: parts.Queries, labels: parts.Labels, who: FromVisitor, *, asked: bool = False
) -> Response:
    """Return the verdict's part of the page alone, for a page that waits for it."""
    served = queries.served(image_id)
    if served is None:
        raise unknown_image()
    return page("image_verdict", who, image_id=image_id, **_about(queries, labels, image_id, served, asked=asked))


def _about(
    queries: parts.Queries, labels: parts.Labels, image_id: str, served: Served, *, asked: bool
) -> dict[str, Any]:
    history = queries.history(image_id, limit=_HISTORY, shadow=True) or ()
    withdrawn = queries.withdrawn()
    by_machine = [
        verdict
        for verdict, _ in history
        if verdict.detectors and not verdict.shadow and verdict.bundle_version not in withdrawn
    ]
    # What the detectors said stays in sight when a person decides.
    machine = served.verdict if served.verdict and served.verdict.detectors else next(iter(by_machine), None)
    explained = machine is not None and machine.bundle_version in {one["bundle_version"] for one in served.heatmaps}
    return {
        "served": served,
        "image": served.image,
        "verdict": served.verdict,
        "machine": machine,
        "explained": explained,
        "scan": served.scan,
        "waiting": served.verdict is None and served.scan is not None and served.scan.state not in _ENDED,
        "drawing": asked and not explained,
        "history": history,
        "withdrawn": withdrawn,
        "labels": labels.of(image_id, limit=_LABELS) or (),
        "label_values": list(LabelValue),
    }


@router.get("/picture")
def get_picture(
    image_id: ImageId,
    queries: parts.Queries,
    objects: parts.Objects,
    max_image_bytes: parts.MaxImageBytes,
    who: FromVisitor,
) -> Response:
    """Return the picture itself, read by us: the browser needs no way to the object store."""
    assert who  # noqa: S101 - named to be signed in
    served = queries.served(image_id)
    if served is None:
        raise unknown_image()
    image = served.image
    try:
        body = objects.fetch(
            image.bucket, image.key, image.version, versioned=image.versioned, max_bytes=max_image_bytes
        )
    except PermanentError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, "The object is not there any more, or not as it was.") from error
    found = image_type(body[:HEAD_BYTES])
    if found is None:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The object is no image of a type that Assay knows.")
    return Response(body, headers=_PICTURE_HEADERS, media_type=found.media_type)


@router.get("/heatmap")
def get_heatmap(
    image_id: ImageId,
    detector: DetectorName,
    queries: parts.Queries,
    artifacts: Artifacts,
    who: FromVisitor,
) -> Response:
    """Return a detector's newest heatmap."""
    assert who  # noqa: S101 - named to be signed in
    heatmap = queries.heatmap(image_id, detector)
    if heatmap is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no heatmap of this detector for this image.")
    return Response(artifacts.read(heatmap.key), headers=_PICTURE_HEADERS, media_type="image/png")


@router.get("/frame")
def get_frame(image_id: ImageId, queries: parts.Queries, artifacts: Artifacts, who: FromVisitor) -> Response:
    """Return a picture of the gravest frame of an animation."""
    assert who  # noqa: S101 - named to be signed in
    key = queries.frame(image_id)
    if key is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no picture of a frame of this image.")
    return Response(artifacts.read(key), headers=_PICTURE_HEADERS, media_type="image/png")


@router.post("/image/label")
def add_label(image_id: ImageId, labels: parts.Labels, form: Annotated[Form, Depends(Sends(Scope.REVIEW))]) -> Response:
    """Say what an image is; a human verdict is served from now on."""
    value = form.needed("label")
    if value not in set(LabelValue):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"label: there is no label {value!r}")
    actor = form.visitor.actor
    given = labels.add(actor, image_id, LabelValue(value), reviewer=actor.name, reason=form.needed("reason"))
    if given is None:
        raise unknown_image()
    return go(f"{HOME}/image", id=image_id, said="labelled")


@router.post("/image/heatmaps")
def ask_heatmaps(
    image_id: ImageId, heatmap_requests: parts.HeatmapRequests, form: Annotated[Form, Depends(Sends(Scope.REVIEW))]
) -> Response:
    """Ask for heatmaps of an image that was not flagged."""
    try:
        asked = heatmap_requests.ask(form.visitor.actor, image_id)
    except NotJudgedError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    if asked is None:
        raise unknown_image()
    return go(f"{HOME}/image", id=image_id, asked=1, said="heatmaps_asked")


@router.post("/image/erase")
def erase_image(
    image_id: ImageId, erasure: parts.Erasure, form: Annotated[Form, Depends(Sends(Scope.ADMIN))]
) -> Response:
    """Erase an image for good, once its id was typed again."""
    if form.text("confirm", most=2048) != image_id:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "confirm: type the image's id to erase it")
    if not erasure.erase(form.visitor.actor, image_id):
        raise unknown_image()
    return go(HOME, said="erased")


@router.get("/drop")
def show_drop(max_image_bytes: parts.MaxImageBytes, who: FromVisitor) -> Response:
    """Show where to drop an image."""
    return page("drop", who, most_bytes=max_image_bytes)


@router.post("/upload")
async def upload(request: Request, uploads: Uploads, who: FromVisitor) -> Response:
    """Take in a dropped image, as the API takes in an upload; tells the page where its verdict will be."""
    check_origin(request)
    check_token(who, request.headers.get(CSRF_HEADER, ""))
    check_scope(who, Scope.INGEST)
    async with uploads.receive(request) as image:
        accepted = await run_in_threadpool(uploads.accept, image, who.actor)
    told = {"page": link(f"{HOME}/image", id=accepted.image_id), "id": accepted.image_id}
    return JSONResponse(told, HTTPStatus.ACCEPTED)


@router.get("/progress")
def get_progress(image_id: ImageId, queries: parts.Queries, who: FromVisitor) -> Response:
    """Tell a page that dropped an image how far it is."""
    assert who  # noqa: S101 - named to be signed in
    served = queries.served(image_id)
    if served is None:
        raise unknown_image()
    verdict, scan = served.verdict, served.scan
    told = {
        "state": scan.state if scan else None,
        "reason": scan.reason and words(scan.reason) if scan else None,
        "verdict": verdict and verdict.verdict,
        "words": verdict and headline(verdict.verdict),
        "probability": percent(verdict.probability) if verdict and verdict.probability is not None else None,
        "ended": bool(verdict) or (scan is not None and scan.state in _ENDED),
    }
    return JSONResponse(told, headers=HEADERS)
