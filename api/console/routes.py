"""All of the console, as one router; an address that nobody knows is told on a page."""

from http import HTTPStatus

from fastapi import APIRouter, Response

from api.console import (
    administration,
    appeals,
    bundles,
    drift,
    feed,
    image,
    keys,
    pictures,
    policies,
    review,
    review_bulk,
    review_team,
    scans,
    sign_in,
    sign_in_provider,
    static_files,
    training,
    transparency,
    webhooks,
)
from api.console.pages import ConsoleRoute, go
from api.console.visitor import HOME, FromVisitor
from api.errors.problems import ProblemError

router = APIRouter(include_in_schema=False)
_elsewhere = APIRouter(prefix=HOME, route_class=ConsoleRoute)


@_elsewhere.get("/{rest:path}")
def show_nothing(rest: str, who: FromVisitor) -> Response:
    """Tell that there is no such page."""
    assert who  # noqa: S101 - named to be signed in
    if not rest:
        return go(HOME)
    raise ProblemError(HTTPStatus.NOT_FOUND, "There is no page at this address.")


for part in (
    static_files,
    sign_in,
    sign_in_provider,
    feed,
    review,
    review_bulk,
    review_team,
    appeals,
    image,
    pictures,
    scans,
    drift,
    transparency,
    bundles,
    training,
    policies,
    administration,
    keys,
    webhooks,
):
    router.include_router(part.router)
router.include_router(_elsewhere)
