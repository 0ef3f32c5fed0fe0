"""Policies: what they say, which one a new database starts with, and which rules they give a source. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from worker.decisions.calibration import CalibrationFigures, Thresholds, derive_thresholds
from worker.decisions.vocabulary import DeclaredOrigin


@dataclass(frozen=True)
class Rules:
    """A policy version as it applies to one source.

    Attributes:
        false_positive_budget: share of photographs that may be called AI-generated, between 0 and 1.
        miss_budget: share of AI-generated images that may be cleared, between 0 and 1.
        prior_shift: added to the calibrated logit.
        declared_origin: what becomes of a file that declares itself AI-generated.
    """

    false_positive_budget: float
    miss_budget: float
    prior_shift: float
    declared_origin: DeclaredOrigin = DeclaredOrigin.UNCERTAIN

    def numbers(self) -> dict[str, float]:
        """Return what thresholds follow from, by the names that :func:`derive_thresholds` takes."""
        return {
            "false_positive_budget": self.false_positive_budget,
            "miss_budget": self.miss_budget,
            "prior_shift": self.prior_shift,
        }

    def thresholds(self, figures: CalibrationFigures) -> Thresholds:
        """Return the cuts on the shifted probability that these rules give a bundle with such figures."""
        return derive_thresholds(figures, **self.numbers())


class Policy(Protocol):
    """What a policy says: its terms, or its row in the database."""

    @property
    def prior_shift(self) -> float: ...  # noqa: D102 (as in PolicyTerms)
    @property
    def false_positive_budget(self) -> float: ...  # noqa: D102
    @property
    def miss_budget(self) -> float: ...  # noqa: D102
    @property
    def declared_origin(self) -> str: ...  # noqa: D102
    @property
    def actions(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def by_source(self) -> Mapping[str, Mapping[str, Any]]: ...  # noqa: D102


@dataclass(frozen=True)
class PolicyTerms:
    """What a policy says; as in :class:`~worker.database.tables.Policy`."""

    prior_shift: float
    false_positive_budget: float
    miss_budget: float
    by_source: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    declared_origin: DeclaredOrigin = DeclaredOrigin.UNCERTAIN
    actions: Mapping[str, str] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """Return the terms as columns of a row."""
        by_source = {source: dict(own) for source, own in self.by_source.items()}
        return {**vars(self), "by_source": by_source, "actions": dict(self.actions)}


def rules_for(policy: Policy, source: str) -> Rules:
    """Return a policy's rules for a source; what the source does not set is the policy's own.

    Args:
        policy: a source of its ``by_source`` also answers for the folders below it.
        source: where the image comes from, such as ``uploads/avatars``.
    """
    own = _own(policy.by_source, source)
    return Rules(
        own.get("false_positive_budget", policy.false_positive_budget),
        own.get("miss_budget", policy.miss_budget),
        policy.prior_shift,
        DeclaredOrigin(own.get("declared_origin", policy.declared_origin)),
    )


def actions_for(policy: Policy, source: str) -> dict[str, str]:
    """Return the actions that a policy names for a source, by case; the defaults are not among them."""
    return {**policy.actions, **_own(policy.by_source, source).get("actions", {})}


def _own(by_source: Mapping[str, Mapping[str, Any]], source: str) -> Mapping[str, Any]:
    return by_source.get(source) or by_source.get(source.split("/", 1)[0]) or {}


# A new database starts with this: at most 1 % of photographs accused, at most 5 % of AI-generated images cleared, and
# files believed that say they are AI-generated.
FIRST_POLICY = PolicyTerms(
    prior_shift=0.0, false_positive_budget=0.01, miss_budget=0.05, declared_origin=DeclaredOrigin.DECIDES
)
FIRST_RULES = rules_for(FIRST_POLICY, "")
