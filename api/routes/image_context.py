"""Where images stand on the platform: the post, and who uploaded it, as people at the desk need it."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from api import parts
from api.auth import Ingester, Needs, Operator
from api.errors.problems import WITH_BODY, InvalidError, problems
from api.requests.image_ids import unknown_image
from api.requests.strict import StrictBody
from api.requests.texts import Line
from api.routes.images import ImageId
from worker.database.api_keys import Scope
from worker.database.image_context import NoActorKeyError

router = APIRouter(tags=["images"], responses=problems())

_MOST_OTHERS = 12


def _linkable(url: str) -> str:
    try:
        split = urlsplit(url)
        sound = split.scheme in {"http", "https"} and bool(split.hostname) and not split.username
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("must be an address of http or https, without a user")
    return url


ContextUrl = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[\x21-\x7e]+$"), AfterValidator(_linkable)]


class Context(StrictBody):
    """Where an image stands; what is left out is forgotten."""

    context_url: Annotated[ContextUrl | None, Field(description="Address of the post, for reviewers.")] = None
    actor_id: Annotated[
        Line | None, Field(description="Your id of whoever uploaded it; kept as a hash under `ASSAY_ACTOR_KEY` alone.")
    ] = None


class ContextOut(BaseModel):
    """Where an image stands. The actor's own id is not kept, so nobody can be told."""

    context_url: str | None
    has_actor: bool
    other_image_ids: list[str] = Field(description="The newest other images of the same uploader.")


class ForgetActor(StrictBody):
    """Whom to forget."""

    actor_id: Line


class ActorErasure(BaseModel):
    """How many images are nobody's now."""

    images: int


@router.put(
    "/v1/images/{image_id:encoded}/context", status_code=HTTPStatus.NO_CONTENT, responses=problems(404, *WITH_BODY)
)
def put_context(image_id: ImageId, context: Context, contexts: parts.ImageContexts, actor: Ingester) -> None:
    """Say where an image stands: the address of its post, and who uploaded it. Erased with the image."""
    fields = {"context_url": context.context_url, "actor_id": context.actor_id}
    try:
        exists = contexts.put(actor, image_id, **fields)
    except NoActorKeyError as error:
        raise InvalidError("body", "actor_id", error.detail) from error
    if not exists:
        raise unknown_image()


@router.get(
    "/v1/images/{image_id:encoded}/context",
    responses=problems(404),
    dependencies=[Depends(Needs(Scope.READ))],
)
def get_context(image_id: ImageId, contexts: parts.ImageContexts, queries: parts.Queries) -> ContextOut:
    """Return where an image stands, with other images of its uploader."""
    served = queries.served(image_id)
    if served is None:
        raise unknown_image()
    place = contexts.of(served.image.id, limit=_MOST_OTHERS)
    others = list(dict.fromkeys(image.image_id for image in place.others))
    return ContextOut(context_url=place.context_url, has_actor=place.has_actor, other_image_ids=others)


@router.post("/v1/actors/forget", responses=problems(*WITH_BODY))
def forget_actor(request: ForgetActor, contexts: parts.ImageContexts, actor: Operator) -> ActorErasure:
    """Forget who uploaded what: a person's images stay, and nothing joins them any more."""
    try:
        return ActorErasure(images=contexts.forget_actor(actor, request.actor_id))
    except NoActorKeyError as error:
        raise InvalidError("body", "actor_id", error.detail) from error
