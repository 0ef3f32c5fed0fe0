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
    policies: parts.Policies, figures: parts.Figures, who: FromVisitor, said: str | None = None
) -> Response:
    """Show the policy that counts, and a form for another."""
    newest = policies.newest()
    return _shown(policies, figures, who, Terms.model_validate(newest, from_attributes=True), said=said)


@router.post("/preview")
def preview(
    policies: parts.Policies,
    bundles: parts.Bundles,
    figures: parts.Figures,
    form: Annotated[Form, Depends(Sends(Scope.READ))],
) -> Response:
    """Show what other terms would change; changes nothing."""
    asked = _terms(form)
    return _shown(policies, figures, form.visitor, asked, would=preview_policy(asked, bundles, policies))


@router.post("")
def add_policy(policies: parts.Policies, form: Annotated[Form, Depends(Sends(Scope.ADMIN))]) -> Response:
    """Make a new version."""
    policies.add(form.visitor.actor, _terms(form).terms(policies.newest()))
    return go(f"{HOME}/policies", said="policy_made")


def _shown(policies: parts.Policies, figures: parts.Figures, who: Visitor, asked: Terms, **values: Any) -> Response:
    versions = policies.page(limit=_VERSIONS)
    asked_actions = asked.actions or {}
    sources = [(source, budgets.model_dump(mode="json")) for source, budgets in asked.by_source.items()]
    return page(
        "policies",
        who,
        policy=versions[0],
        versions=versions,
        asked=asked,
        sources=[*sources, *[("", {})] * _MORE_SOURCES],
        known_sources=figures.sources(200),
        origins=list(DeclaredOrigin),
        actions=list(Action),
        cases=[(case, case_in_words(case), asked_actions.get(case), DEFAULT_ACTIONS.get(case)) for case in ActionCase],
        **{"would": None, **values},
    )


def _terms(form: Form) -> Terms:
    """Read percents of a form; raises a ProblemError, 422."""
    columns = ("source", "source_false_positive", "source_miss", "source_declared_origin", "source_actions")
    try:
        by_source = {
            source: {
                "false_positive_budget": _share(accused),
                "miss_budget": _share(missed),
                "declared_origin": declared or None,
                "actions": json.loads(actions) if actions else None,
            }
            for source, accused, missed, declared, actions in zip_longest(*map(form.several, columns), fillvalue="")
            if source
        }
        return Terms.model_validate(
            {
                "prior_shift": float(form.text("prior_shift").replace(",", ".") or 0),
                "false_positive_budget": _share(form.needed("false_positive")),
                "miss_budget": _share(form.needed("miss")),
                "declared_origin": form.text("declared_origin") or None,
                "actions": {case: form.text(f"action_{case}") for case in ActionCase if form.text(f"action_{case}")},
                "by_source": by_source,
            }
        )
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, told) from error
    except ValueError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "Budgets and shift are numbers, such as 1.5.") from error


def _share(text: str) -> float | None:
    return float(text.replace(",", ".")) / 100 if text else None
