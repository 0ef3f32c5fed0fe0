"""Policies: each change is a new version, and the newest one counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from worker.store.audit import Actor, record
from worker.store.session import Database
from worker.store.tables import Policy


@dataclass(frozen=True)
class PolicyTerms:
    """What a policy says; as in :class:`~worker.store.tables.Policy`."""

    prior_shift: float
    false_positive_budget: float
    miss_budget: float
    by_source: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """Return the terms as columns of a row, and as what :func:`worker.verdict.rules_for` takes."""
        return {**vars(self), "by_source": {source: dict(budgets) for source, budgets in self.by_source.items()}}


class Policies:
    """The table of policies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> Policy:
        """Return the policy that counts; there is one from the first migration on."""
        with self._database.transaction() as session:
            return session.scalars(select(Policy).order_by(Policy.version.desc()).limit(1)).one()

    def page(self, *, limit: int, before: int | None = None) -> Sequence[Policy]:
        """Return policies, newest first, those with versions below ``before``."""
        policies = select(Policy).order_by(Policy.version.desc()).limit(limit)
        if before is not None:
            policies = policies.where(Policy.version < before)
        with self._database.transaction() as session:
            return session.scalars(policies).all()

    def add(self, actor: Actor, terms: PolicyTerms) -> Policy:
        """Make a new version; scans that are leased from now on take it."""
        with self._database.transaction() as session:
            policy = Policy(**terms.columns(), created_by=actor.name)
            session.add(policy)
            session.flush()
            session.refresh(policy)
            record(session, actor, "policy.add", f"policy:{policy.version}", **terms.columns())
        return policy
