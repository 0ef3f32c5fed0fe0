"""Labels: what a reviewer says of an image, served at once as a human verdict."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from api import parts
from api.auth import Needs
from api.errors.problems import WITH_BODY, problems
from api.requests.cursors import Cursor, Limit, decode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.requests.image_ids import unknown_image
from api.requests.strict import StrictBody
from api.requests.texts import Line, Words
from api.routes.images import ImageId
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.tables import LabelValue

router = APIRouter(prefix="/v1/images", tags=["labels"], responses=problems(404), route_class=OnceRoute)


_KEYS_WORD = (
    '299 - "This label counts as the word of its key, not of the reviewer: that takes the scope review:delegate and a '
    'registered reviewer"'
)


class NewLabel(StrictBody):
    """What a reviewer says, and why."""

    label: LabelValue
    reason: Annotated[Words, Field(description="Why, for whoever looks at the image next.")]
    reviewer: Annotated[
        Line | None,
        Field(
            description="Who says so, for people; the key's name when left out. A label counts as the word of its key. "
            "It counts as this reviewer's where the key has the scope `review:delegate` and the name is registered "
            "(`POST /v1/reviewers`); otherwise the answer carries a `Warning`."
        ),
    ] = None


class LabelOut(FromRow):
    """A label."""

    id: int
    label: LabelValue
    reviewer: str
    reason: str
    of_duplicate: Annotated[bool, Field(description="Given to another image of the same bytes.")]
    created_at: datetime


class GivenLabel(LabelOut):
    """A label just given, and the verdict that is served since."""

    verdict_id: int
    duplicates: Annotated[int, Field(description="Other images of the same bytes that it reached.")]


class Labels(BaseModel):
    """A page of labels, newest first."""

    items: list[LabelOut]
    next_cursor: str | None


@router.post("/{image_id:encoded}/labels", status_code=HTTPStatus.CREATED, responses=problems(404, 409, *WITH_BODY))
def add_label(
    image_id: ImageId,
    label: NewLabel,
    response: Response,
    labels: parts.Labels,
    actor: Annotated[Actor, Depends(Once(Scope.REVIEW))],
) -> GivenLabel:
    """Label an image; a human verdict is served from now on, for images of the same bytes too."""
    reviewer = label.reviewer or actor.name
    added = labels.add(actor, image_id, label.label, reviewer=reviewer, reason=label.reason)
    if added is None:
        raise unknown_image()
    if label.reviewer and (added.label.voice or "").startswith("key:"):
        response.headers["Warning"] = _KEYS_WORD
    fields = LabelOut.model_validate(added.label).model_dump()
    return GivenLabel(**fields, verdict_id=added.verdict.id, duplicates=added.duplicates)


@router.get("/{image_id:encoded}/labels", dependencies=[Depends(Needs(Scope.READ))])
def list_labels(image_id: ImageId, labels: parts.Labels, limit: Limit = 50, cursor: Cursor = None) -> Labels:
    """List the labels of an image, newest first, over all its versions."""
    newest = labels.of(image_id, limit=limit + 1, before=decode_cursor(cursor))
    if newest is None:
        raise unknown_image()
    return Labels(
        items=[LabelOut.model_validate(label) for label in newest[:limit]],
        next_cursor=next_cursor([label.id for label in newest], limit),
    )
