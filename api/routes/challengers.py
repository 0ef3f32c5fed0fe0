"""Challengers: let a bundle scan live images in shadow, see what it would change, withdraw it."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api import parts
from api.auth import Needs
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.cursors import Cursor, Limit, decode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.routes.bundles import BundleOut, Version, Why
from api.schemas.verdicts import ListedVerdict
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.challengers import Flip, NotChallengerError, OtherChallengerError
from worker.database.promotion import AlreadyChampionError, UnknownBundleError

router = APIRouter(prefix="/v1/bundles/{version}", tags=["bundles"], responses=problems(404), route_class=OnceRoute)

_may_read = Depends(Needs(Scope.READ))
_ByOperator = Annotated[Actor, Depends(Once(Scope.OPERATE))]


class Challenge(Why):
    """How much of the live traffic a bundle scans in shadow, and why."""

    share: Annotated[float, Field(gt=0, le=1, description="Share of the live images, 0 to 1.")]


class FlipsOfSource(BaseModel):
    """What would change for one source."""

    images: int
    flips: int
    newly_accused: int


class ShadowReport(BaseModel):
    """What a challenger's verdicts would change, over all images that it and a champion have judged."""

    images: int
    flips: Annotated[int, Field(description="Images whose verdict differs.")]
    flip_rate: float | None
    newly_accused: Annotated[int, Field(description="Images that would become `ai_generated`.")]
    no_longer_accused: int
    mean_shift: Annotated[float | None, Field(description="Mean change of the probability.")]
    matrix: Annotated[dict[str, dict[str, int]], Field(description="Champion's verdict, challenger's, images.")]
    by_source: dict[str, FlipsOfSource]
    open: Annotated[int, Field(description="Shadow scans that are still to be done.")]
    rejected: int
    dead: int


class FlipOut(BaseModel):
    """An image whose verdict would change."""

    image_id: str
    source: str
    champion: ListedVerdict
    challenger: ListedVerdict

    @classmethod
    def of(cls, flip: Flip) -> "FlipOut":
        """Put both verdicts side by side."""
        champion, challenger = (ListedVerdict.of(verdict, flip.image) for verdict in (flip.champion, flip.challenger))
        return cls(
            image_id=flip.image.image_id, source=flip.challenger.source, champion=champion, challenger=challenger
        )


class Flips(BaseModel):
    """A page of images whose verdict would change, newest first."""

    items: list[FlipOut]
    next_cursor: str | None


@router.post("/challenge", responses=problems(409, *WITH_BODY))
def challenge(version: Version, terms: Challenge, challengers: parts.Challengers, actor: _ByOperator) -> BundleOut:
    """Let a bundle scan a share of the live images in shadow; its verdicts are kept and never served."""
    try:
        bundle = challengers.challenge(actor, version, terms.share, terms.reason)
    except UnknownBundleError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.detail) from error
    except (AlreadyChampionError, OtherChallengerError) as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    return BundleOut.model_validate(bundle)


@router.post("/withdraw", responses=problems(409, *WITH_BODY))
def withdraw(version: Version, why: Why, challengers: parts.Challengers, actor: _ByOperator) -> BundleOut:
    """End a challenger's shadow and its open scans; what it has judged is kept."""
    try:
        return BundleOut.model_validate(challengers.withdraw(actor, version, why.reason))
    except UnknownBundleError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.detail) from error
    except NotChallengerError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error


@router.get("/shadow", dependencies=[_may_read])
def shadow_report(version: Version, challengers: parts.Challengers) -> ShadowReport:
    """Tell what a challenger's verdicts would change."""
    try:
        report: dict[str, Any] = challengers.report(version)
    except UnknownBundleError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.detail) from error
    return ShadowReport.model_validate(report)


@router.get("/flips", dependencies=[_may_read])
def list_flips(
    version: Version, bundles: parts.Bundles, challengers: parts.Challengers, limit: Limit = 50, cursor: Cursor = None
) -> Flips:
    """List the images whose verdict a challenger would change, newest first."""
    if bundles.get(version) is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, UnknownBundleError().detail)
    flips = challengers.flips(version, limit=limit + 1, before=decode_cursor(cursor))
    return Flips(
        items=[FlipOut.of(flip) for flip in flips[:limit]],
        next_cursor=next_cursor([flip.challenger.id for flip in flips], limit),
    )
