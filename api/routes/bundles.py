"""Bundles: which there are, what is known of them, which one serves."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from api import parts
from api.auth import Needs
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.cursors import Cursor, Limit, decode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.requests.strict import StrictBody
from api.requests.texts import Line, Words
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.promotion import (
    AlreadyChampionError,
    BarredError,
    NothingToRollBackError,
    OtherChampionError,
    UnknownBundleError,
)
from worker.database.tables import BundleRole
from worker.errors import AssayError

router = APIRouter(prefix="/v1/bundles", tags=["bundles"], responses=problems(), route_class=OnceRoute)

Version = Annotated[str, Path(min_length=1, max_length=200)]
_may_read = Depends(Needs(Scope.READ))


class BundleOut(FromRow):
    """A registered bundle; `champion` serves, `challenger` scans in shadow."""

    version: str
    name: str
    role: BundleRole
    created_at: datetime
    promoted_at: datetime | None
    shadow_share: Annotated[float | None, Field(description="Share of live images that a challenger scans.")]
    challenged_at: Annotated[datetime | None, Field(description="Since when it scans in shadow, or last did.")]


class BundleWithCard(BundleOut):
    """A bundle, its card (data, measures, weaknesses) and what the gate found."""

    card: dict[str, Any]
    gate: Annotated[dict[str, Any] | None, Field(description="Champion and challenger side by side, rule by rule.")]


class BundlesOut(BaseModel):
    """Every bundle, newest first."""

    items: list[BundleOut]


class Why(StrictBody):
    """Why the champion changes; goes into the audit trail."""

    reason: Words


class RollbackWanted(Why):
    """Why to roll back, and which champion is meant to end."""

    champion: Annotated[
        Line | None,
        Field(
            description="The version that is to go: refused where another serves by then, so nobody goes back twice."
        ),
    ] = None


class PromotionWanted(Why):
    """A promotion: after gate and shadow, or by force."""

    force: Annotated[
        bool, Field(description="Promote what gate and shadow have not passed; what barred it is audited.")
    ] = False


class PromotionOut(FromRow):
    """A promotion or a rollback."""

    id: int
    bundle_version: str
    previous_version: str | None
    rollback: bool
    withdraws: Annotated[
        str | None, Field(description="The version whose verdicts are not served from here on, until promoted again.")
    ]
    reason: str
    created_by: str
    created_at: datetime


class Promotions(BaseModel):
    """A page of promotions and rollbacks, newest first."""

    items: list[PromotionOut]
    next_cursor: str | None


@router.get("", dependencies=[_may_read])
def list_bundles(bundles: parts.Bundles) -> BundlesOut:
    """List every bundle."""
    return BundlesOut(items=[BundleOut.model_validate(bundle) for bundle in bundles.all()])


@router.get("/promotions", dependencies=[_may_read])
def list_promotions(bundles: parts.Bundles, limit: Limit = 50, cursor: Cursor = None) -> Promotions:
    """List promotions and rollbacks, newest first."""
    promotions = bundles.promotions(limit=limit + 1, before=decode_cursor(cursor))
    return Promotions(
        items=[PromotionOut.model_validate(promotion) for promotion in promotions[:limit]],
        next_cursor=next_cursor([promotion.id for promotion in promotions], limit),
    )


@router.post("/rollback", responses=problems(409, *WITH_BODY))
def roll_back(
    rollback: RollbackWanted, bundles: parts.Bundles, actor: Annotated[Actor, Depends(Once(Scope.OPERATE))]
) -> PromotionOut:
    """Make champion again what the champion replaced, and serve again what was served before.

    Verdicts of the bundle that leaves are withdrawn until it is promoted again. Images that have no other verdict are
    queued for the restored bundle; until then they answer `pending` with the reason `withdrawn`.
    """
    try:
        return PromotionOut.model_validate(bundles.roll_back(actor, rollback.reason, champion=rollback.champion))
    except (NothingToRollBackError, OtherChampionError) as error:
        raise _conflict(error) from error


@router.get("/{version}", responses=problems(404), dependencies=[_may_read])
def get_bundle(version: Version, bundles: parts.Bundles) -> BundleWithCard:
    """Return one bundle with its card."""
    bundle = bundles.get(version)
    if bundle is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no bundle of this version.")
    return BundleWithCard.model_validate(bundle)


@router.post("/{version}/promote", responses=problems(404, 409, *WITH_BODY))
def promote(
    version: Version,
    terms: PromotionWanted,
    least: parts.ShadowMinImages,
    bundles: parts.Bundles,
    actor: Annotated[Actor, Depends(Once(Scope.OPERATE))],
) -> PromotionOut:
    """Make a bundle champion that gate and shadow have passed; workers judge by it what they take from now on."""
    try:
        promotion = bundles.promote(actor, version, terms.reason, least=least, force=terms.force)
    except UnknownBundleError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.detail) from error
    except (AlreadyChampionError, BarredError) as error:
        raise _conflict(error) from error
    return PromotionOut.model_validate(promotion)


def _conflict(error: AssayError) -> ProblemError:
    return ProblemError(HTTPStatus.CONFLICT, error.detail)
