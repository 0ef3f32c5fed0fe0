"""What a platform is advised to do."""

import pytest

from worker.decisions.action import Action, ActionCase, recommend
from worker.decisions.policy import PolicyTerms, actions_for


@pytest.mark.parametrize(
    ("verdict", "decided_by", "expected"),
    [
        ("ai_generated", "machine", Action.LABEL),
        ("ai_generated", "human", Action.LABEL),
        ("ai_generated", "provenance", Action.LABEL),
        ("ai_generated", "declared", Action.LABEL),
        ("uncertain", "machine", Action.REVIEW),
        ("not_ai_generated", "duplicate", Action.ALLOW),
        (None, None, Action.HOLD),
    ],
)
def test_a_policy_that_names_no_actions_labels_reviews_and_holds(
    verdict: str | None, decided_by: str | None, expected: Action
) -> None:
    assert recommend({}, verdict, decided_by) is expected


def test_what_a_file_says_of_itself_is_held_only_where_the_policy_says_so() -> None:
    hold: dict[str, str] = {ActionCase.AI_GENERATED: Action.HOLD}
    assert recommend(hold, "ai_generated", "machine") is Action.HOLD
    assert recommend(hold, "ai_generated", "provenance") is Action.HOLD
    assert recommend(hold, "ai_generated", "declared") is Action.LABEL
    assert recommend({**hold, ActionCase.DECLARED: Action.REVIEW}, "ai_generated", "declared") is Action.REVIEW
    assert recommend({**hold, ActionCase.PROVENANCE: Action.LABEL}, "ai_generated", "provenance") is Action.LABEL


def test_a_source_names_some_actions_of_its_own_and_has_the_policy_s_others() -> None:
    policy = PolicyTerms(
        0.0,
        0.01,
        0.05,
        {"uploads/avatars": {"actions": {"ai_generated": "hold"}}},
        actions={"ai_generated": "review", "uncertain": "allow"},
    )
    assert actions_for(policy, "uploads/avatars") == {"ai_generated": "hold", "uncertain": "allow"}
    assert actions_for(policy, "uploads") == {"ai_generated": "review", "uncertain": "allow"}
