"""Policies: how probabilities become verdicts, by version, and what a new one would change."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api import parts
from api.answers.policy_preview import Preview, preview
from api.auth import Needs
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.cursors import Cursor, Limit, decode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.requests.strict import StrictBody
from api.requests.texts import Name
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.tables import Policy
from worker.decisions.action import Action, ActionCase
from worker.decisions.policy import PolicyTerms
from worker.decisions.vocabulary import DeclaredOrigin

router = APIRouter(prefix="/v1/policies", tags=["policies"], responses=problems(), route_class=OnceRoute)

Budget = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
_MOST_SOURCES = 1000


class Budgets(StrictBody):
    """Budgets of one source; a field that is left out takes the policy's value."""

    false_positive_budget: Budget | None = None
    miss_budget: Budget | None = None
    declared_origin: DeclaredOrigin | None = None
    actions: dict[ActionCase, Action] | None = None


class Terms(StrictBody):
    """The terms of a policy."""

    prior_shift: Annotated[
        float, Field(ge=-20, le=20, allow_inf_nan=False, description="Added to the calibrated logit.")
    ] = 0.0
    false_positive_budget: Annotated[Budget, Field(description="Share of photographs that may be called AI-generated.")]
    miss_budget: Annotated[Budget, Field(description="Share of AI-generated images that may be cleared.")]
    declared_origin: Annotated[
        DeclaredOrigin | None,
        Field(
            description="What becomes of a file that itself says it is AI-generated, with nobody trusted to vouch for "
            "it: `decides` makes it `ai_generated`, `uncertain` keeps it from being cleared, `ignore` leaves it to the "
            "pixels. Left out, it stays as it is."
        ),
    ] = None
    actions: Annotated[
        dict[ActionCase, Action] | None,
        Field(
            description="What is recommended in which case. Cases that are not named take `label` for `ai_generated` "
            "and `declared`, `review` for `uncertain`, `allow` for `not_ai_generated`, `hold` for `no_verdict`; "
            "`provenance` takes what `ai_generated` has. Left out, they stay as they are."
        ),
    ] = None
    by_source: Annotated[dict[Name, Budgets], Field(max_length=_MOST_SOURCES)] = Field(default_factory=dict)

    def terms(self, now: Policy) -> PolicyTerms:
        """Return them as the store takes them; what is left out is as in the policy that counts now."""
        by_source = {source: own.model_dump(exclude_none=True, mode="json") for source, own in self.by_source.items()}
        declared_origin = self.declared_origin or DeclaredOrigin(now.declared_origin)
        named = self.actions if self.actions is not None else now.actions
        actions = {str(case): str(action) for case, action in named.items()}
        budgets = (self.false_positive_budget, self.miss_budget)
        return PolicyTerms(self.prior_shift, *budgets, by_source, declared_origin, actions)


class PolicyOut(FromRow):
    """A version of the policy."""

    version: int
    prior_shift: float
    false_positive_budget: float
    miss_budget: float
    declared_origin: DeclaredOrigin
    actions: dict[ActionCase, Action]
    by_source: dict[str, Budgets]
    created_by: str
    created_at: datetime


class PoliciesOut(BaseModel):
    """A page of policy versions, newest first."""

    items: list[PolicyOut]
    next_cursor: str | None


@router.get("", dependencies=[Depends(Needs(Scope.READ))])
def list_policies(policies: parts.Policies, limit: Limit = 50, cursor: Cursor = None) -> PoliciesOut:
    """List the versions of the policy, newest first; the newest counts."""
    versions = policies.page(limit=limit + 1, before=decode_cursor(cursor))
    return PoliciesOut(
        items=[PolicyOut.model_validate(policy) for policy in versions[:limit]],
        next_cursor=next_cursor([policy.version for policy in versions], limit),
    )


@router.post("", status_code=HTTPStatus.CREATED, responses=problems(409, *WITH_BODY))
def add_policy(
    terms: Terms, policies: parts.Policies, actor: Annotated[Actor, Depends(Once(Scope.OPERATE))]
) -> PolicyOut:
    """Make a new version; scans that workers take from now on are judged by it."""
    return PolicyOut.model_validate(policies.add(actor, terms.terms(policies.newest())))


@router.post("/preview", responses=problems(409, *WITH_BODY), dependencies=[Depends(Needs(Scope.READ))])
def preview_policy(terms: Terms, bundles: parts.Bundles, policies: parts.Policies) -> Preview:
    """Tell what these terms would change among the champion's newest verdicts; changes nothing."""
    champion = bundles.champion()
    if champion is None:
        raise ProblemError(HTTPStatus.CONFLICT, "There is no champion bundle yet, so there is nothing to preview with.")
    figures = bundles.figures(champion.version)
    if figures is None:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "The champion's calibration figures are not known yet: a worker writes them at its start.",
        )
    return preview(terms.terms(policies.newest()), figures, policies.judged_images(champion.version))
