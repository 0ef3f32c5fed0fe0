"""Pictures that pages show: the upload itself, its thumbnail, heatmaps and frames, all read by us."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api import parts
from api.answers.artifacts import Artifacts
from api.console.crops import CropPlans, draw
from api.console.image import ImageId
from api.console.pages import HEADERS, ConsoleRoute
from api.console.visitor import HOME, FromVisitor
from api.errors.problems import ProblemError
from api.requests.image_ids import unknown_image
from worker.detectors.names import DetectorName
from worker.errors import PermanentError
from worker.images.image_types import HEAD_BYTES, image_type, why_no_image

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)

# What others uploaded is shown, never run: should it be no picture after all, it may do nothing.
_PICTURE_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=300",
    "Content-Disposition": "inline",
}
_KEPT_A_DAY = {**_PICTURE_HEADERS, "Cache-Control": "private, max-age=86400"}


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
    kind = image_type(body[:HEAD_BYTES])
    if kind is None:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"It cannot be shown: {why_no_image(body)}.")
    return Response(body, headers=_PICTURE_HEADERS, media_type=kind.media_type)


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


@router.get("/crops")
def get_crops(
    image_id: ImageId,
    bundle: Annotated[str, Query(max_length=200)],
    detector: DetectorName,
    *,
    queries: parts.Queries,
    plans: Annotated[CropPlans, Depends()],
    who: FromVisitor,
) -> Response:
    """Return frames around the crops that a bundle's detector looks at, to be laid over the picture."""
    assert who  # noqa: S101 - named to be signed in
    served = queries.served(image_id)
    if served is None:
        raise unknown_image()
    crops = plans.planned(served.image, bundle, [detector])
    if not crops:
        raise ProblemError(HTTPStatus.NOT_FOUND, "It is not known which crops this detector looks at.")
    size = (served.image.width or 1, served.image.height or 1)
    return Response(draw(size, crops[0].boxes), headers=_PICTURE_HEADERS, media_type="image/svg+xml")


@router.get("/frame")
def get_frame(image_id: ImageId, queries: parts.Queries, artifacts: Artifacts, who: FromVisitor) -> Response:
    """Return a picture of the gravest frame of an animation."""
    assert who  # noqa: S101 - named to be signed in
    key = queries.frame(image_id)
    if key is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no picture of a frame of this image.")
    return Response(artifacts.read(key), headers=_PICTURE_HEADERS, media_type="image/png")


@router.get("/thumbnail")
def get_thumbnail(image_id: ImageId, thumbnails: parts.Thumbnails, artifacts: Artifacts, who: FromVisitor) -> Response:
    """Return a thumbnail; one that is missing is made now, and the page asks again (202) or does without (204)."""
    assert who  # noqa: S101 - named to be signed in
    thumbnail = thumbnails.find(image_id)
    if thumbnail is None:
        raise unknown_image()
    if thumbnail.key is None:
        return Response(status_code=HTTPStatus.ACCEPTED if thumbnail.is_coming else HTTPStatus.NO_CONTENT)
    return Response(artifacts.read(thumbnail.key), headers=_KEPT_A_DAY, media_type="image/webp")
