"""Policies: what the newest says, what another would change, and all versions."""

import json
from http import HTTPStatus
from itertools import zip_longest
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import ValidationError

from api import parts
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, FromVisitor, Sends, Visitor
from api.console.wording import case_in_words
from api.errors.problems import ProblemError
from api.routes.policies import Terms, preview_policy
from worker.database.api_keys import Scope
from worker.decisions.action import DEFAULT_ACTIONS, Action, ActionCase
from worker.decisions.vocabulary import DeclaredOrigin

router = APIRouter(prefix=f"{HOME}/policies", include_in_schema=False, route_class=ConsoleRoute)

_VERSIONS = 30
# Empty rows for sources that have no budgets of their own yet.
_MORE_SOURCES = 2


@router.get("")
def show_policies(
    policies: parts.Policies, figures: parts.Figures, who: FromVisitor, notice: str | None = None
) -> Response:
    """Show the policy that counts, and a form for another."""
    newest = policies.newest()
    return _shown(policies, figures, who, Terms.model_validate(newest, from_attributes=True), notice=notice)


@router.post("/preview")
def preview(
    policies: parts.Policies,
    bundles: parts.Bundles,
    figures: parts.Figures,
    form: Annotated[Form, Depends(Sends(Scope.READ))],
) -> Response:
    """Show what other terms would change; changes nothing."""
    terms = _terms(form)
    return _shown(policies, figures, form.visitor, terms, would=preview_policy(terms, bundles, policies))


@router.post("")
def add_policy(policies: parts.Policies, form: Annotated[Form, Depends(Sends(Scope.OPERATE))]) -> Response:
    """Add a version of the policy from a form."""
    policies.add(form.visitor.actor, _terms(form).terms(policies.newest()))
    return go(f"{HOME}/policies", notice="policy_made")


def _shown(policies: parts.Policies, figures: parts.Figures, who: Visitor, terms: Terms, **values: Any) -> Response:
    versions = policies.page(limit=_VERSIONS)
    actions = terms.actions or {}
    sources = [(source, budgets.model_dump(mode="json")) for source, budgets in terms.by_source.items()]
    return page(
        "policies",
        who,
        policy=versions[0],
        versions=versions,
        terms=terms,
        sources=[*sources, *[("", {})] * _MORE_SOURCES],
        known_sources=figures.sources(200),
        origins=list(DeclaredOrigin),
        actions=list(Action),
        cases=[(case, case_in_words(case), actions.get(case), DEFAULT_ACTIONS.get(case)) for case in ActionCase],
        **{"would": None, **values},
    )


def _terms(form: Form) -> Terms:
    """Read percents of a form; raises a ProblemError, 422."""
    try:
        return Terms.model_validate(
            {
                "prior_shift": float(form.text("prior_shift").replace(",", ".") or 0),
                "false_positive_budget": _share(form.needed("false_positive")),
                "miss_budget": _share(form.needed("miss")),
                "declared_origin": form.text("declared_origin") or None,
                "actions": {case: form.text(f"action_{case}") for case in ActionCase if form.text(f"action_{case}")},
                "by_source": _by_source(form),
            }
        )
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, faults) from error
    except ValueError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "Budgets and shift are numbers, such as 1.5.") from error


def _by_source(form: Form) -> dict[str, dict[str, Any]]:
    columns = ("source", "source_false_positive", "source_miss", "source_declared_origin", "source_actions")
    return {
        source: {
            "false_positive_budget": _share(accused),
            "miss_budget": _share(missed),
            "declared_origin": declared or None,
            "actions": json.loads(actions) if actions else None,
        }
        for source, accused, missed, declared, actions in zip_longest(*map(form.several, columns), fillvalue="")
        if source
    }


def _share(text: str) -> float | None:
    return float(text.replace(",", ".")) / 100 if text else None
