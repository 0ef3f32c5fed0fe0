"""Webhook endpoints: made, rotated, switched and removed, and what was sent to each."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api import parts
from api.console.administration import Operator
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, Sends
from api.errors.problems import ProblemError
from api.requests.cursors import MAX_ID, decode_cursor, next_cursor
from api.requests.webhook_targets import Targets
from worker.database.api_keys import Scope
from worker.database.webhook_endpoints import Event

router = APIRouter(prefix=f"{HOME}/webhooks", include_in_schema=False, route_class=ConsoleRoute)

_ON_A_PAGE = 50
_LONGEST_URL = 2000
RowId = Annotated[int, Path(ge=1, le=MAX_ID)]
Cursor = Annotated[str | None, Query(max_length=64)]
_ByOperator = Annotated[Form, Depends(Sends(Scope.OPERATE))]


@router.get("")
def show_endpoints(endpoints: parts.WebhookEndpoints, who: Operator, notice: str | None = None) -> Response:
    """List webhook endpoints, and how each fares."""
    return page("webhooks", who, endpoints=endpoints.all(), events=list(Event), made=None, notice=notice)


@router.post("")
def make_endpoint(endpoints: parts.WebhookEndpoints, targets: Targets, form: _ByOperator) -> Response:
    """Make an endpoint; the page shows its secret this once."""
    url = targets.check(form.text("url", most=_LONGEST_URL))
    events = [Event(event) for event in form.several("event") if event in set(Event)]
    if not events:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "event: tick at least one")
    made = endpoints.add(form.visitor.actor, url, events, form.text("description", most=200))
    return page("webhooks", form.visitor, endpoints=endpoints.all(), events=list(Event), made=made)


@router.get("/{endpoint_id}")
def show_endpoint(
    endpoint_id: RowId,
    endpoints: parts.WebhookEndpoints,
    who: Operator,
    cursor: Cursor = None,
    notice: str | None = None,
) -> Response:
    """Show what was sent to an endpoint."""
    endpoint = endpoints.get(endpoint_id)
    if endpoint is None:
        raise _unknown()
    deliveries = endpoints.deliveries(endpoint_id, limit=_ON_A_PAGE + 1, before=decode_cursor(cursor))
    return page(
        "webhook",
        who,
        endpoint=endpoint,
        deliveries=deliveries[:_ON_A_PAGE],
        next_cursor=next_cursor([delivery.id for delivery in deliveries], _ON_A_PAGE),
        notice=notice,
    )


@router.post("/{endpoint_id}/rotate")
def rotate_secret(endpoint_id: RowId, endpoints: parts.WebhookEndpoints, form: _ByOperator) -> Response:
    """Give an endpoint a new secret, which the page shows this once; for a day both sign."""
    made = endpoints.rotate(form.visitor.actor, endpoint_id)
    if made is None:
        raise _unknown()
    return page("webhooks", form.visitor, endpoints=endpoints.all(), events=list(Event), made=made)


@router.post("/{endpoint_id}/remove")
def remove_endpoint(endpoint_id: RowId, endpoints: parts.WebhookEndpoints, form: _ByOperator) -> Response:
    """Remove an endpoint with all that waits for it, once the box that confirms is ticked."""
    form.confirmed()
    if not endpoints.remove(form.visitor.actor, endpoint_id):
        raise _unknown()
    return go(f"{HOME}/webhooks", notice="endpoint_removed")


@router.post("/{endpoint_id}/switch")
def switch_endpoint(endpoint_id: RowId, endpoints: parts.WebhookEndpoints, form: _ByOperator) -> Response:
    """Tell an endpoint nothing more, or tell it again."""
    on = form.needed("to") == "on"
    if endpoints.change(form.visitor.actor, endpoint_id, enabled=on) is None:
        raise _unknown()
    return go(f"{HOME}/webhooks/{endpoint_id}", notice="endpoint_on" if on else "endpoint_off")


@router.post("/{endpoint_id}/redeliver")
def redeliver(endpoint_id: RowId, endpoints: parts.WebhookEndpoints, form: _ByOperator) -> Response:
    """Send a message once more."""
    chosen = form.needed("delivery")
    delivery = int(chosen) if chosen.isdecimal() and int(chosen) <= MAX_ID else 0
    if endpoints.redeliver(form.visitor.actor, endpoint_id, delivery) is None:
        raise _unknown()
    return go(f"{HOME}/webhooks/{endpoint_id}", notice="redelivered")


def _unknown() -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, "There is no webhook endpoint or delivery of this id.")
