"""Webhook endpoints: where a platform wants to be told, with which secret, and what was sent there."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from api import parts
from api.auth import Needs, Operator
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.cursors import MAX_ID, Cursor, Limit, decode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.requests.strict import StrictBody
from api.requests.texts import Words
from api.requests.webhook_targets import Targets
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.tables import WebhookDelivery
from worker.database.webhook_endpoints import Event, NewSecret

router = APIRouter(
    prefix="/v1/webhook-endpoints",
    tags=["webhook endpoints"],
    responses=problems(),
    route_class=OnceRoute,
)

EndpointId = Annotated[int, Path(ge=1, le=MAX_ID)]
_may_read = Depends(Needs(Scope.OPERATE))
Url = Annotated[str, Field(min_length=1, max_length=2000, description="`https://…`, reachable from Assay.")]
Events = Annotated[list[Event], Field(min_length=1, max_length=20)]


class NewEndpoint(StrictBody):
    """Where to send what."""

    url: Url
    events: Events
    description: Words | None = None


class ChangedEndpoint(StrictBody):
    """What is to be different; what is left out stays. Enabling forgets former failures."""

    url: Url | None = None
    events: Events | None = None
    description: Words | None = None
    enabled: bool | None = None


class EndpointOut(FromRow):
    """An endpoint; its secret was shown when it was made."""

    id: int
    url: str
    events: list[Event]
    description: str
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    previous_secret_until: datetime | None = Field(description="Until then the former secret signs too.")
    created_at: datetime


class EndpointWithSecret(EndpointOut):
    """An endpoint with a secret just made, shown this once: `whsec_…`, as Standard Webhooks libraries take it."""

    secret: str

    @classmethod
    def of(cls, made: NewSecret) -> "EndpointWithSecret":
        """Join an endpoint and its secret."""
        return cls(**EndpointOut.model_validate(made.endpoint).model_dump(), secret=made.secret)


class Endpoints(BaseModel):
    """Every endpoint, oldest first."""

    items: list[EndpointOut]


class DeliveryOut(FromRow):
    """A message for one endpoint; without `delivered_at` and `due_at` it was given up."""

    id: int
    event: str
    attempts: int
    due_at: datetime | None
    attempted_at: datetime | None
    delivered_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime


class Deliveries(BaseModel):
    """A page of deliveries, newest first."""

    items: list[DeliveryOut]
    next_cursor: str | None


@router.post("", status_code=HTTPStatus.CREATED, responses=problems(409, *WITH_BODY))
def add_webhook_endpoint(
    new: NewEndpoint,
    endpoints: parts.WebhookEndpoints,
    targets: Targets,
    actor: Annotated[Actor, Depends(Once(Scope.OPERATE))],
) -> EndpointWithSecret:
    """Make an endpoint; the answer holds its secret, which is shown this once."""
    url = targets.check(new.url)
    return EndpointWithSecret.of(endpoints.add(actor, url, new.events, new.description or ""))


@router.get("", dependencies=[_may_read])
def list_webhook_endpoints(endpoints: parts.WebhookEndpoints) -> Endpoints:
    """List every endpoint."""
    return Endpoints(items=[EndpointOut.model_validate(endpoint) for endpoint in endpoints.all()])


@router.get("/{endpoint_id}", responses=problems(404), dependencies=[_may_read])
def get_webhook_endpoint(endpoint_id: EndpointId, endpoints: parts.WebhookEndpoints) -> EndpointOut:
    """Return one endpoint."""
    endpoint = endpoints.get(endpoint_id)
    if endpoint is None:
        raise _unknown()
    return EndpointOut.model_validate(endpoint)


@router.patch("/{endpoint_id}", responses=problems(404, *WITH_BODY))
def change_webhook_endpoint(
    endpoint_id: EndpointId,
    changed: ChangedEndpoint,
    endpoints: parts.WebhookEndpoints,
    targets: Targets,
    actor: Operator,
) -> EndpointOut:
    """Change an endpoint, disable it or enable it again."""
    url = None if changed.url is None else targets.check(changed.url)
    endpoint = endpoints.change(
        actor,
        endpoint_id,
        url=url,
        events=changed.events,
        description=changed.description,
        enabled=changed.enabled,
    )
    if endpoint is None:
        raise _unknown()
    return EndpointOut.model_validate(endpoint)


@router.delete("/{endpoint_id}", status_code=HTTPStatus.NO_CONTENT, responses=problems(404))
def remove_webhook_endpoint(endpoint_id: EndpointId, endpoints: parts.WebhookEndpoints, actor: Operator) -> None:
    """Remove an endpoint with all that waits for it."""
    if not endpoints.remove(actor, endpoint_id):
        raise _unknown()


@router.post("/{endpoint_id}/rotate", responses=problems(404, 409, *WITH_BODY))
def rotate_webhook_secret(
    endpoint_id: EndpointId, endpoints: parts.WebhookEndpoints, actor: Annotated[Actor, Depends(Once(Scope.OPERATE))]
) -> EndpointWithSecret:
    """Give an endpoint a new secret; for 24 hours both sign. A second rotation ends the first secret at once."""
    made = endpoints.rotate(actor, endpoint_id)
    if made is None:
        raise _unknown()
    return EndpointWithSecret.of(made)


@router.get("/{endpoint_id}/deliveries", responses=problems(404), dependencies=[_may_read])
def list_webhook_deliveries(
    endpoint_id: EndpointId, endpoints: parts.WebhookEndpoints, limit: Limit = 50, cursor: Cursor = None
) -> Deliveries:
    """List what was sent to an endpoint or waits for it, newest first."""
    deliveries = endpoints.deliveries(endpoint_id, limit=limit + 1, before=decode_cursor(cursor))
    if not deliveries and endpoints.get(endpoint_id) is None:
        raise _unknown()
    return Deliveries(
        items=[DeliveryOut.model_validate(delivery) for delivery in deliveries[:limit]],
        next_cursor=next_cursor([delivery.id for delivery in deliveries], limit),
    )


@router.post(
    "/{endpoint_id}/deliveries/{delivery_id}/redeliver",
    status_code=HTTPStatus.ACCEPTED,
    responses=problems(404),
)
def redeliver(
    endpoint_id: EndpointId, delivery_id: EndpointId, endpoints: parts.WebhookEndpoints, actor: Operator
) -> DeliveryOut:
    """Send a message once more, under the same `webhook-id`."""
    delivery: WebhookDelivery | None = endpoints.redeliver(actor, endpoint_id, delivery_id)
    if delivery is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no delivery of this id for this endpoint.")
    return DeliveryOut.model_validate(delivery)


def _unknown() -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, "There is no webhook endpoint of this id.")
