"""What admins look at: keys, webhook endpoints and what was sent to them, and the audit trail."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api import parts
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, FromVisitor, Sends, Visitor, check_scope
from api.errors.problems import ProblemError
from api.requests.cursors import MAX_ID, decode_cursor, next_cursor
from worker.database.api_keys import Scope

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)

_ON_A_PAGE = 50
RowId = Annotated[int, Path(ge=1, le=MAX_ID)]
Cursor = Annotated[str | None, Query(max_length=64)]
_ByAdmin = Annotated[Form, Depends(Sends(Scope.ADMIN))]


def _admin(who: FromVisitor) -> Visitor:
    check_scope(who, Scope.ADMIN)
    return who


_Admin = Annotated[Visitor, Depends(_admin)]


@router.get("/keys")
def show_keys(api_keys: parts.ApiKeys, now: parts.Now, who: _Admin) -> Response:
    """List keys: who may do what, and who last did."""
    return page("keys", who, keys=api_keys.list(), now=now())


@router.get("/webhooks")
def show_endpoints(endpoints: parts.WebhookEndpoints, who: _Admin) -> Response:
    """List webhook endpoints, and how each fares."""
    return page("webhooks", who, endpoints=endpoints.all())


@router.get("/webhooks/{endpoint_id}")
def show_endpoint(
    endpoint_id: RowId, endpoints: parts.WebhookEndpoints, who: _Admin, cursor: Cursor = None, said: str | None = None
) -> Response:
    """Show what was sent to an endpoint."""
    endpoint = endpoints.get(endpoint_id)
    if endpoint is None:
        raise _unknown()
    found = endpoints.deliveries(endpoint_id, limit=_ON_A_PAGE + 1, before=decode_cursor(cursor))
    return page(
        "webhook",
        who,
        endpoint=endpoint,
        deliveries=found[:_ON_A_PAGE],
        next_cursor=next_cursor([delivery.id for delivery in found], _ON_A_PAGE),
        said=said,
    )


@router.post("/webhooks/{endpoint_id}/switch")
def switch_endpoint(endpoint_id: RowId, endpoints: parts.WebhookEndpoints, form: _ByAdmin) -> Response:
    """Tell an endpoint nothing more, or tell it again."""
    on = form.needed("to") == "on"
    if endpoints.change(form.visitor.actor, endpoint_id, enabled=on) is None:
        raise _unknown()
    return go(f"{HOME}/webhooks/{endpoint_id}", said="endpoint_on" if on else "endpoint_off")


@router.post("/webhooks/{endpoint_id}/redeliver")
def redeliver(endpoint_id: RowId, endpoints: parts.WebhookEndpoints, form: _ByAdmin) -> Response:
    """Send a message once more."""
    chosen = form.needed("delivery")
    delivery = int(chosen) if chosen.isdecimal() and int(chosen) <= MAX_ID else 0
    if endpoints.redeliver(form.visitor.actor, endpoint_id, delivery) is None:
        raise _unknown()
    return go(f"{HOME}/webhooks/{endpoint_id}", said="redelivered")


@router.get("/audit")
def show_trail(
    audit: parts.Audit,
    who: _Admin,
    cursor: Cursor = None,
    action: Annotated[str, Query(max_length=100)] = "",
    target: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Show who changed what."""
    asked = {"action": action.strip(), "target": target.strip()}
    wanted = {name: value or None for name, value in asked.items()}
    found = audit.page(limit=_ON_A_PAGE + 1, before=decode_cursor(cursor), **wanted)
    return page(
        "audit",
        who,
        entries=found[:_ON_A_PAGE],
        asked=asked,
        next_cursor=next_cursor([entry.id for entry in found], _ON_A_PAGE),
    )


def _unknown() -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, "There is no webhook endpoint or delivery of this id.")
