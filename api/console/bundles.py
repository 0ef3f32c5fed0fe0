"""Bundles: which serves, which challenges it, what their cards say; promote, roll back, let one scan in shadow."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api import parts
from api.console.card import summarise_card
from api.console.evidence import compared_in
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, FromVisitor, Sends
from api.errors.problems import ProblemError
from worker.database.api_keys import Scope
from worker.database.challengers import NotChallengerError, OtherChallengerError
from worker.database.promotion import (
    AlreadyChampionError,
    BarredError,
    NothingToRollBackError,
    OtherChampionError,
    UnknownBundleError,
)
from worker.database.tables import Bundle, BundleRole
from worker.errors import AssayError

router = APIRouter(prefix=f"{HOME}/bundles", include_in_schema=False, route_class=ConsoleRoute)

_PROMOTIONS, _FLIPS = 20, 30
Version = Annotated[str, Query(min_length=1, max_length=200)]
_ByOperator = Annotated[Form, Depends(Sends(Scope.OPERATE))]
_REFUSED = (
    AlreadyChampionError,
    BarredError,
    NothingToRollBackError,
    NotChallengerError,
    OtherChallengerError,
    OtherChampionError,
)


@router.get("")
def show_bundles(bundles: parts.Bundles, who: FromVisitor, notice: str | None = None) -> Response:
    """List bundles, and how the champion changed."""
    rows = [(bundle, summarise_card(bundle.card).rows) for bundle in sorted(bundles.all(), key=_rank)]
    return page("bundles", who, rows=rows, promotions=bundles.promotions(limit=_PROMOTIONS), notice=notice)


@router.post("/rollback")
def roll_back(bundles: parts.Bundles, form: _ByOperator) -> Response:
    """Make champion again what the champion replaced."""
    form.confirmed()
    try:
        champion = form.text("champion") or None
        bundles.roll_back(form.visitor.actor, form.needed("reason"), champion=champion)
    except _REFUSED as error:
        raise _conflict(error) from error
    return go(f"{HOME}/bundles", notice="rolled_back")


@router.get("/one")
def show_bundle(
    version: Version,
    who: FromVisitor,
    *,
    bundles: parts.Bundles,
    challengers: parts.Challengers,
    least: parts.ShadowMinImages,
    notice: str | None = None,
) -> Response:
    """Show a bundle: its card, its gate, what it would change."""
    bundle = _existing(bundles, version)
    is_challenger = bundle.challenged_at is not None
    return page(
        "bundle",
        who,
        bundle=bundle,
        card=summarise_card(bundle.card),
        compared=compared_in((bundle.gate or {}).get("measures", {}).get("all")),
        gate=bundle.gate,
        shadow=challengers.report(version) if is_challenger else None,
        flips=challengers.flips(version, limit=_FLIPS) if is_challenger else (),
        least=least,
        notice=notice,
    )


@router.post("/promote")
def promote(version: Version, least: parts.ShadowMinImages, bundles: parts.Bundles, form: _ByOperator) -> Response:
    """Make a bundle champion."""
    _existing(bundles, version)
    form.confirmed()
    force = form.text("force") == "yes"
    try:
        bundles.promote(form.visitor.actor, version, form.needed("reason"), least=least, force=force)
    except _REFUSED as error:
        raise _conflict(error) from error
    return go(f"{HOME}/bundles", notice="promoted")


@router.post("/challenge")
def challenge(version: Version, challengers: parts.Challengers, bundles: parts.Bundles, form: _ByOperator) -> Response:
    """Let a bundle scan a share of the live images in shadow."""
    _existing(bundles, version)
    try:
        share = float(form.needed("percent")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "percent: more than 0, at most 100")
    try:
        challengers.challenge(form.visitor.actor, version, share, form.needed("reason"))
    except _REFUSED as error:
        raise _conflict(error) from error
    return go(f"{HOME}/bundles/one", version=version, notice="challenged")


@router.post("/withdraw")
def withdraw(version: Version, challengers: parts.Challengers, bundles: parts.Bundles, form: _ByOperator) -> Response:
    """End a challenger's shadow."""
    _existing(bundles, version)
    try:
        challengers.withdraw(form.visitor.actor, version, form.needed("reason"))
    except _REFUSED as error:
        raise _conflict(error) from error
    return go(f"{HOME}/bundles/one", version=version, notice="withdrawn")


def _rank(bundle: Bundle) -> int:
    return [BundleRole.CHAMPION, BundleRole.CHALLENGER, BundleRole.REGISTERED].index(BundleRole(bundle.role))


def _existing(bundles: parts.Bundles, version: str) -> Bundle:
    bundle = bundles.get(version)
    if bundle is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, UnknownBundleError().detail)
    return bundle


def _conflict(error: AssayError) -> ProblemError:
    return ProblemError(HTTPStatus.CONFLICT, error.detail)
