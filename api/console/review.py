"""The review desk: the images that wait for a person, decided by keys, one after the other."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ValidationError
from pydantic.dataclasses import dataclass
from starlette.responses import JSONResponse

from api import parts
from api.console.pages import HEADERS, ConsoleRoute, link, page
from api.console.visitor import HOME, Form, FromVisitor, Sends, Visitor, check_scope
from api.console.wording import headline, known_as, percent, size, standing
from api.errors.problems import ProblemError
from worker.database.api_keys import Scope
from worker.database.review import ReviewOrder
from worker.database.served import Served
from worker.database.tables import LabelValue
from worker.decisions.near_hashes import MOST_DISTANCE
from worker.decisions.vocabulary import DecidedBy, VerdictValue

router = APIRouter(prefix=f"{HOME}/review", include_in_schema=False, route_class=ConsoleRoute)

# The one on screen, two whose pictures load meanwhile, and the one whose decision may still be undone.
_HELD = 4
_NEAR = 12
_MOST_SOURCES = 200
_MOST_AT_ONCE = 50
_LABELS = {value.value for value in LabelValue}


@dataclass(frozen=True)
class Choice:
    """What a reviewer does with an image."""

    image_pk: int
    image_id: str
    act: Literal["ai_generated", "not_ai_generated", "cannot_tell", "skip", "undo"]
    reason: str = ""


@router.get("")
def show_desk(
    review_queue: parts.ReviewQueue,
    review_reasons: parts.ReviewReasons,
    who: FromVisitor,
    order: ReviewOrder = ReviewOrder.UNCERTAIN,
    source: Annotated[str, Query(max_length=1024)] = "",
) -> Response:
    """Show the desk; its script claims images and shows them."""
    check_scope(who, Scope.REVIEW)
    return page(
        "review",
        who,
        order=order,
        orders=list(ReviewOrder),
        source=source,
        sources=review_queue.sources(_MOST_SOURCES),
        reasons=review_reasons,
        figures=review_queue.figures(who.actor.name),
    )


@router.post("/next")
def claim_next(
    review_queue: parts.ReviewQueue,
    queries: parts.Queries,
    duplicates: parts.Duplicates,
    form: Annotated[Form, Depends(Sends(Scope.REVIEW))],
) -> Response:
    """Claim images and return what the desk shows of them, and how the queue stands."""
    who = form.visitor
    order = ReviewOrder(form.text("order") or ReviewOrder.UNCERTAIN)
    shown = _claimed(review_queue, queries, duplicates, who, order=order, source=form.text("source", most=1024) or None)
    return _answer(review_queue, who, shown)


@router.post("/decide")
def decide(
    review_queue: parts.ReviewQueue, labels: parts.Labels, form: Annotated[Form, Depends(Sends(Scope.REVIEW))]
) -> Response:
    """Do what a reviewer chose: label the image and those they ticked beside it, pass on it, or take a pass back."""
    who, choice = form.visitor, _choice(form)
    if choice.act == "undo":
        review_queue.take_back_pass(who.principal.key_id, choice.image_pk)
    elif not review_queue.holds(who.principal.key_id, choice.image_pk):
        raise ProblemError(
            HTTPStatus.CONFLICT, "Somebody decided this image meanwhile, or your claim ran out. Nothing was saved."
        )
    elif choice.act in _LABELS:
        for image_id in (choice.image_id, *form.several("also")[:_MOST_AT_ONCE]):
            labels.add(who.actor, image_id, LabelValue(choice.act), reviewer=who.actor.name, reason=choice.reason)
    else:
        review_queue.put_back(who.principal.key_id, choice.image_pk, cannot_tell=choice.act == "cannot_tell")
    return _answer(review_queue, who, [])


def _choice(form: Form) -> Choice:
    try:
        choice = Choice(form.text("image_pk"), form.text("image_id"), form.text("act"), form.text("reason"))  # type: ignore[arg-type] # pydantic reads them
    except ValidationError as error:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{error.errors()[0]['loc'][-1]}: not understood"
        ) from error
    if choice.act in _LABELS and not choice.reason:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "reason: choose a preset with 1 to 9, or type one")
    return choice


def _claimed(
    review_queue: parts.ReviewQueue,
    queries: parts.Queries,
    duplicates: parts.Duplicates,
    who: Visitor,
    *,
    order: ReviewOrder,
    source: str | None,
) -> list[dict[str, Any]]:
    """Return claimed images whose served verdict still needs a person; others leave the queue."""
    shown: list[dict[str, Any]] = []
    for claim in review_queue.claim(who.principal.key_id, most=_HELD, order=order, source=source):
        served = queries.served(claim.image_id)
        if served is None or served.image.id != claim.image_pk or not _needs_person(served):
            review_queue.remove(claim.image_pk)
        else:
            shown.append(_shown(duplicates, claim.image_id, served))
    return shown


def _needs_person(served: Served) -> bool:
    verdict = served.verdict
    return verdict is not None and verdict.verdict == VerdictValue.UNCERTAIN and verdict.decided_by != DecidedBy.HUMAN


def _shown(duplicates: parts.Duplicates, image_id: str, served: Served) -> dict[str, Any]:
    image, verdict = served.image, served.verdict
    assert verdict is not None  # noqa: S101 - an image without a verdict is not in the queue
    sides = f"{image.width} \N{MULTIPLICATION SIGN} {image.height}, " if image.width else ""
    near = duplicates.near(image_id, most_distance=MOST_DISTANCE, limit=_NEAR) or ()
    return {
        "image_pk": image.id,
        "image_id": image_id,
        "picture": _picture(image_id, image.id),
        "page": link(f"{HOME}/image", id=image_id),
        "source": image.source,
        "size": sides + size(image.size_bytes),
        "width": image.width,
        "height": image.height,
        "verdict": headline(verdict.verdict),
        "probability": percent(verdict.probability),
        "standing": standing(verdict.probability, verdict.lower_threshold, verdict.upper_threshold),
        "detectors": [[known_as(name), percent(one["probability"])] for name, one in verdict.detectors.items()],
        "heatmaps": [
            {"name": known_as(one["detector"]), "at": link(f"{HOME}/heatmap", id=image_id, detector=one["detector"])}
            for one in served.heatmaps
        ],
        "near": [
            {
                "image_id": one.image.image_id,
                "picture": _picture(one.image.image_id, one.image.id),
                "distance": "same file" if one.same_bytes else f"{one.distance} of 256 bits apart",
            }
            for one in near
        ],
    }


def _picture(image_id: str, image_pk: int) -> str:
    return link(f"{HOME}/picture", id=image_id, row=image_pk)


def _answer(review_queue: parts.ReviewQueue, who: Visitor, shown: list[dict[str, Any]]) -> Response:
    figures = review_queue.figures(who.actor.name)
    counts = {"waiting": figures.waiting, "own": figures.own, "team": figures.team}
    return JSONResponse({"items": shown, "figures": counts}, headers=HEADERS)
