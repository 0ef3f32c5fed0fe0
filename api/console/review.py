"""The review desk: the images that wait for a person, decided by keys, one after the other."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ValidationError
from pydantic.dataclasses import dataclass
from starlette.responses import JSONResponse

from api import parts
from api.console.crops import CropPlans
from api.console.pages import HEADERS, ConsoleRoute, page
from api.console.review_items import DeskItems
from api.console.visitor import HOME, Form, FromVisitor, Sends, Visitor, check_scope
from api.console.wording import figure
from api.errors.problems import ProblemError
from worker.database.api_keys import Scope
from worker.database.appeals import NotOpenError, SamePersonError
from worker.database.review import ReviewFigures
from worker.database.review_orders import ReviewOrder
from worker.database.review_terms import terms_for
from worker.database.served import ServedImage
from worker.database.tables import LabelValue
from worker.decisions.vocabulary import DecidedBy, VerdictValue

router = APIRouter(prefix=f"{HOME}/review", include_in_schema=False, route_class=ConsoleRoute)

# The one on screen, two whose pictures load meanwhile, and the one whose decision may still be undone.
_HELD = 4
_MOST_SOURCES = 200
_MOST_AT_ONCE = 50
_LABELS = {value.value for value in LabelValue}
_UNDECIDED = {ReviewOrder.UNCERTAIN, ReviewOrder.NEWEST, ReviewOrder.OLDEST, ReviewOrder.CLUSTERS}


@dataclass(frozen=True)
class Choice:
    """What a reviewer does with an image; ``appeal`` is the one that they decide with it."""

    image_pk: int
    image_id: str
    act: Literal["ai_generated", "not_ai_generated", "cannot_tell", "skip", "undo"]
    reason: str = ""
    appeal: int | None = None


def desk_items(
    duplicates: parts.Duplicates,
    policies: parts.Policies,
    labels: parts.Labels,
    appeals: parts.Appeals,
    *,
    plans: Annotated[CropPlans, Depends()],
    review_terms: parts.ReviewTerms,
) -> DeskItems:
    """Return what makes images into what the desk shows."""
    return DeskItems(duplicates, policies, labels, appeals, plans, review_terms.all())


@router.get("")
def show_desk(
    review_queue: parts.ReviewQueue,
    review_terms: parts.ReviewTerms,
    who: FromVisitor,
    *,
    order: ReviewOrder = ReviewOrder.UNCERTAIN,
    source: Annotated[str, Query(max_length=1024)] = "",
    notice: str | None = None,
) -> Response:
    """Show the desk; its script claims images and shows them."""
    check_scope(who, Scope.REVIEW)
    terms = terms_for(review_terms.all(), source)
    return page(
        "review",
        who,
        notice=notice,
        order=order,
        orders=list(ReviewOrder),
        source=source,
        sources=review_queue.sources(_MOST_SOURCES),
        reasons=terms.reasons,
        goal=terms.daily_goal,
        figures=_figures(review_queue, who, order, source),
    )


@router.post("/next")
def claim_next(
    review_queue: parts.ReviewQueue,
    queries: parts.Queries,
    items: Annotated[DeskItems, Depends(desk_items)],
    form: Annotated[Form, Depends(Sends(Scope.REVIEW))],
) -> Response:
    """Claim images and return what the desk shows of them, and how the queue stands."""
    who, (order, source) = form.visitor, _queue_of(form)
    # What the page has already is held on, and not made again.
    held = {int(pk) for pk in form.several("known")[:_HELD] if pk.isdecimal()}
    claimed = _claimed(review_queue, queries, who, order=order, source=source, held=held)
    shown = [items.show(image_id, served, order) for image_id, served in claimed]
    return _answer(_figures(review_queue, who, order, source), shown)


@router.post("/decide")
def decide(
    review_queue: parts.ReviewQueue,
    labels: parts.Labels,
    appeals: parts.Appeals,
    form: Annotated[Form, Depends(Sends(Scope.REVIEW))],
) -> Response:
    """Do what a reviewer chose: label the image and those they ticked beside it, pass on it, or take a pass back."""
    who, choice = form.visitor, _choice(form)
    if choice.act == "undo":
        review_queue.take_back_pass(who.principal.key_id, choice.image_pk)
    elif not review_queue.holds(who.principal.key_id, choice.image_pk):
        raise ProblemError(
            HTTPStatus.CONFLICT, "Somebody decided this image meanwhile, or your claim ran out. Nothing was saved."
        )
    elif choice.act not in _LABELS:
        review_queue.put_back(who.principal.key_id, choice.image_pk, cannot_tell=choice.act == "cannot_tell")
    elif choice.appeal is not None:
        _decide_appeal(appeals, who, choice)
    else:
        for image_id in (choice.image_id, *form.several("also")[:_MOST_AT_ONCE]):
            labels.add(who.actor, image_id, LabelValue(choice.act), reviewer=who.actor.name, reason=choice.reason)
    order, source = _queue_of(form)
    return _answer(_figures(review_queue, who, order, source), [])


def _decide_appeal(appeals: parts.Appeals, who: Visitor, choice: Choice) -> None:
    assert choice.appeal is not None  # noqa: S101 - asked before
    value = LabelValue(choice.act)
    try:
        appeals.decide(who.actor, choice.appeal, value, reviewer=who.actor.name, reason=choice.reason)
    except (NotOpenError, SamePersonError) as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error


def _queue_of(form: Form) -> tuple[ReviewOrder, str | None]:
    order = form.text("order") or ReviewOrder.UNCERTAIN
    if order not in set(ReviewOrder):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"order: there is no order {order!r}")
    return ReviewOrder(order), form.text("source", most=1024) or None


def _choice(form: Form) -> Choice:
    texts = {name: form.text(name, most=2048) for name in ("image_pk", "image_id", "act", "reason")}
    try:
        choice = Choice(**texts, appeal=form.text("appeal") or None)  # type: ignore[arg-type] # pydantic reads them
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
    who: Visitor,
    *,
    order: ReviewOrder,
    source: str | None,
    held: Collection[int],
) -> list[tuple[str, ServedImage]]:
    """Return claimed images whose served verdict still needs a person; others leave the queue."""
    shown: list[tuple[str, ServedImage]] = []
    for claim in review_queue.claim(who.principal.key_id, most=_HELD, order=order, source=source):
        if claim.image_pk in held:
            continue
        served = queries.served(claim.image_id)
        if served is None or served.image.id != claim.image_pk or not _needs_person(served, order):
            review_queue.remove(claim.image_pk)
        else:
            shown.append((claim.image_id, served))
    return shown


def _needs_person(served: ServedImage, order: ReviewOrder) -> bool:
    verdict = served.verdict
    if verdict is None or order not in _UNDECIDED:
        return verdict is not None
    return verdict.verdict == VerdictValue.UNCERTAIN and verdict.decided_by != DecidedBy.HUMAN


def _figures(
    review_queue: parts.ReviewQueue, who: Visitor, order: ReviewOrder, source: str | None
) -> dict[str, int | str]:
    standing = review_queue.figures(who.principal.key_id, who.actor.name, order=order, source=source or None)
    return {"waiting": _counted(standing), "own": standing.own, "team": standing.team}


def _counted(standing: ReviewFigures) -> int | str:
    return f"{figure(standing.most)}+" if standing.waiting >= standing.most else standing.waiting


def _answer(figures: dict[str, int | str], shown: list[dict[str, Any]]) -> Response:
    return JSONResponse({"items": shown, "figures": figures}, headers=HEADERS)
