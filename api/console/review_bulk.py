"""Many images at once: look-alikes of one image, or a selection, with a preview of what a label changes."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api import parts
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, FromVisitor, Sends, check_scope
from api.errors.problems import ProblemError
from api.requests.cursors import MAX_ID
from api.requests.image_ids import unknown_image
from worker.database.api_keys import Scope
from worker.database.bulk_labels import MOST_AT_ONCE, ChangedMeanwhileError
from worker.database.review_terms import terms_for
from worker.database.tables import LabelValue
from worker.decisions.near_hashes import MOST_DISTANCE

router = APIRouter(prefix=f"{HOME}/review", include_in_schema=False, route_class=ConsoleRoute)

_ByReviewer = Annotated[Form, Depends(Sends(Scope.REVIEW))]


@router.get("/alike")
def show_alike(
    image_id: Annotated[str, Query(alias="id", min_length=1, max_length=2048)],
    queries: parts.Queries,
    duplicates: parts.Duplicates,
    review_terms: parts.ReviewTerms,
    who: FromVisitor,
) -> Response:
    """Show an image with all that looks like it, to be labelled at once."""
    check_scope(who, Scope.REVIEW)
    served = queries.served(image_id)
    if served is None:
        raise unknown_image()
    near = duplicates.near(image_id, most_distance=MOST_DISTANCE, limit=MOST_AT_ONCE - 1) or ()
    reasons = terms_for(review_terms.all(), served.image.source).reasons
    return page(
        "alike", who, image_id=image_id, image=served.image, near=near, reasons=reasons, values=list(LabelValue)
    )


@router.post("/preview")
def preview(bulk_labels: parts.BulkLabels, form: _ByReviewer) -> Response:
    """Show what a label would change; nothing is written."""
    check_scope(form.visitor, Scope.REVIEW)
    image_ids, value = _chosen(form)
    changes = bulk_labels.preview(image_ids)
    if not changes.changes:
        raise ProblemError(HTTPStatus.NOT_FOUND, "None of these images is known any more.")
    return page("bulk", form.visitor, preview=changes, value=value, reason=form.needed("reason"))


@router.post("/bulk")
def label_many(bulk_labels: parts.BulkLabels, form: _ByReviewer) -> Response:
    """Label all that a preview showed, or none."""
    image_ids, value = _chosen(form)
    upto = form.needed("upto")
    if not upto.isdecimal() or int(upto) > MAX_ID:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "upto: not understood; start from the preview again")
    actor, reason = form.visitor.actor, form.needed("reason")
    try:
        bulk_labels.add(actor, image_ids, value, reviewer=actor.name, reason=reason, upto=int(upto))
    except ChangedMeanwhileError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    return go(f"{HOME}/review", notice="labelled_many")


def _chosen(form: Form) -> tuple[list[str], LabelValue]:
    """Return the images and the label; raises a ProblemError, 422, where there are none, or too many."""
    image_ids = [image_id for image_id in dict.fromkeys(form.several("image")) if image_id]
    if not 0 < len(image_ids) <= MOST_AT_ONCE:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"image: choose 1 to {MOST_AT_ONCE} images")
    value = form.needed("label")
    if value not in set(LabelValue):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"label: there is no label {value!r}")
    return image_ids, LabelValue(value)
