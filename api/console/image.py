"""One image: the picture with its evidence, the verdict and what it stands on, its history, and what people say."""

from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from api import parts
from api.console.crops import CropPlans
from api.console.pages import HEADERS, ConsoleRoute, go, link, page
from api.console.provenance_words import Step, steps_of
from api.console.standing import stands
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
from api.requests.uploads import Uploads
from worker.database.api_keys import Scope
from worker.database.heatmap_requests import NotJudgedError
from worker.database.served import ServedImage
from worker.database.tables import Image, LabelValue, Scan, ScanState, Verdict
from worker.decisions.detector_order import has_vote, heaviest_first
from worker.decisions.near_hashes import MOST_DISTANCE
from worker.decisions.vocabulary import VerdictValue
from worker.provenance.findings import provenance_of

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)

ImageId = Annotated[str, Query(alias="id", min_length=1, max_length=2048)]
_HISTORY, _LABELS, _NEAR = 100, 100, 8
_ENDED = frozenset({ScanState.COMPLETED, ScanState.REJECTED, ScanState.DEAD})


@router.get("/image")
def show_image(
    image_id: ImageId,
    who: FromVisitor,
    *,
    queries: parts.Queries,
    duplicates: parts.Duplicates,
    labels: parts.Labels,
    policies: parts.Policies,
    appeals: parts.Appeals,
    contexts: parts.ImageContexts,
    plans: Annotated[CropPlans, Depends()],
    notice: str | None = None,
    requested: bool = False,
) -> Response:
    """Show an image, or that there is none; ``requested`` waits for heatmaps."""
    served = queries.served(image_id)
    if served is None:
        return page("unknown_image", who, HTTPStatus.NOT_FOUND, image_id=image_id)
    near = duplicates.near(image_id, most_distance=MOST_DISTANCE, limit=_NEAR) or ()
    about = _about(queries, labels, policies, image_id, served, requested=requested)
    return page(
        "image",
        who,
        image_id=image_id,
        notice=notice,
        near=near,
        appeals=appeals.of(image_id, limit=_LABELS) or (),
        place=contexts.of(served.image.id, limit=_NEAR),
        crops=plans.of(served.image, about["machine"]),
        requested=requested,
        **about,
    )


@router.get("/image/state")
def show_state(
    image_id: ImageId,
    queries: parts.Queries,
    labels: parts.Labels,
    policies: parts.Policies,
    who: FromVisitor,
    *,
    plans: Annotated[CropPlans, Depends()],
    requested: bool = False,
) -> Response:
    """Return the verdict's part of the page alone, for a page that waits for it."""
    served = queries.served(image_id)
    if served is None:
        raise unknown_image()
    about = _about(queries, labels, policies, image_id, served, requested=requested)
    return page("image_verdict", who, image_id=image_id, crops=plans.of(served.image, about["machine"]), **about)


def _about(
    queries: parts.Queries,
    labels: parts.Labels,
    policies: parts.Policies,
    image_id: str,
    served: ServedImage,
    *,
    requested: bool,
) -> dict[str, Any]:
    history = queries.history(image_id, limit=_HISTORY, shadow=True) or ()
    withdrawn = queries.withdrawn()
    machine = _verdict_of_detectors(served, (verdict for verdict, _ in history), withdrawn)
    explained = machine is not None and machine.bundle_version in {one["bundle_version"] for one in served.heatmaps}
    return {
        **_by_weight(served, machine),
        "served": served,
        "image": served.image,
        "verdict": served.verdict,
        "machine": machine,
        "standing": stands(policies, machine),
        "steps": _steps(served.image, machine or served.verdict),
        "flagged": machine is not None and machine.verdict == VerdictValue.AI_GENERATED,
        "explained": explained,
        "scan": served.scan,
        "waiting": served.verdict is None and _is_under_way(served.scan),
        "drawing": requested and not explained,
        "history": history,
        "withdrawn": withdrawn,
        "labels": labels.of(image_id, limit=_LABELS) or (),
        "label_values": list(LabelValue),
    }


def _by_weight(served: ServedImage, machine: Verdict | None) -> dict[str, Any]:
    """Return detectors and heatmaps, those first that counted most for what the detectors said."""
    detectors = machine.detectors if machine and machine.detectors else {}
    maps = {one["detector"]: one for one in served.heatmaps}
    return {
        "heatmaps": [maps[name] for name in heaviest_first(maps, detectors)],
        "detectors": {name: detectors[name] for name in heaviest_first(detectors, detectors)},
        "has_vote": has_vote,
    }


def _verdict_of_detectors(
    served: ServedImage, history: Iterable[Verdict], withdrawn: Collection[str]
) -> Verdict | None:
    """Return what the detectors said, the newest that counts: it stays in sight when a person decides."""
    if served.verdict and served.verdict.detectors:
        return served.verdict
    counting = (one for one in history if one.detectors and not one.shadow and one.bundle_version not in withdrawn)
    return next(counting, None)


def _is_under_way(scan: Scan | None) -> bool:
    return scan is not None and scan.state not in _ENDED


def _steps(image: Image, verdict: Verdict | None) -> list[Step]:
    """Return the picture's way; nothing where no verdict records it, or in words of an older release."""
    if verdict is None:
        return []
    try:
        provenance = provenance_of(verdict.provenance)
    except (LookupError, TypeError, ValueError):
        return []
    return steps_of(provenance, image.stored_at, verdict.created_at)


@router.post("/image/label")
def add_label(image_id: ImageId, labels: parts.Labels, form: Annotated[Form, Depends(Sends(Scope.REVIEW))]) -> Response:
    """Say what an image is; a human verdict is served from now on."""
    value = form.needed("label")
    if value not in set(LabelValue):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"label: there is no label {value!r}")
    actor = form.visitor.actor
    label = labels.add(actor, image_id, LabelValue(value), reviewer=actor.name, reason=form.needed("reason"))
    if label is None:
        raise unknown_image()
    return go(f"{HOME}/image", id=image_id, notice="labelled")


@router.post("/image/heatmaps")
def ask_heatmaps(
    image_id: ImageId, heatmap_requests: parts.HeatmapRequests, form: Annotated[Form, Depends(Sends(Scope.REVIEW))]
) -> Response:
    """Ask for heatmaps of an image that was not flagged."""
    try:
        request = heatmap_requests.ask(form.visitor.actor, image_id)
    except NotJudgedError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    if request is None:
        raise unknown_image()
    return go(f"{HOME}/image", id=image_id, requested=1, notice="heatmaps_asked")


@router.post("/image/erase")
def erase_image(
    image_id: ImageId, erasure: parts.Erasure, form: Annotated[Form, Depends(Sends(Scope.OPERATE))]
) -> Response:
    """Erase an image for good, once its id was typed again."""
    if form.text("confirm", most=2048) != image_id:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "confirm: type the image's id to erase it")
    if not erasure.erase(form.visitor.actor, image_id):
        raise unknown_image()
    return go(HOME, notice="erased")


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
    body = {"page": link(f"{HOME}/image", id=accepted.image_id), "id": accepted.image_id}
    return JSONResponse(body, HTTPStatus.ACCEPTED)


@router.get("/progress")
def get_progress(image_id: ImageId, queries: parts.Queries, who: FromVisitor) -> Response:
    """Tell a page that dropped an image how far it is."""
    assert who  # noqa: S101 - named to be signed in
    served = queries.served(image_id)
    if served is None:
        raise unknown_image()
    verdict, scan = served.verdict, served.scan
    progress = {
        **_progress_of(scan),
        "verdict": verdict and verdict.verdict,
        "words": verdict and headline(verdict.verdict),
        "probability": percent(verdict.probability) if verdict and verdict.probability is not None else None,
        "ended": bool(verdict) or (scan is not None and scan.state in _ENDED),
    }
    return JSONResponse(progress, headers=HEADERS)


def _progress_of(scan: Scan | None) -> dict[str, str | None]:
    if scan is None:
        return {"state": None, "reason": None}
    return {"state": scan.state, "reason": scan.reason and words(scan.reason)}
