"""Where a verdict stands between its thresholds, in words that name the budgets of the policy it was given by."""

from api import parts
from api.console.wording import standing
from worker.database.tables import Verdict
from worker.decisions.policy import rules_for


def stands(policies: parts.Policies, verdict: Verdict | None) -> str:
    """Say where a machine's verdict stands; empty where no machine gave one."""
    if verdict is None or verdict.probability is None:
        return ""
    policy = policies.get(verdict.policy_version) if verdict.policy_version is not None else None
    rules = rules_for(policy, verdict.source) if policy else None
    return standing(verdict.probability, verdict.lower_threshold, verdict.upper_threshold, rules)
