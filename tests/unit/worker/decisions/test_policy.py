"""What a policy says for one source."""

import pytest

from worker.decisions.policy import PolicyTerms, Rules, rules_for

POLICY = PolicyTerms(
    prior_shift=0.5,
    false_positive_budget=0.01,
    miss_budget=0.05,
    by_source={"uploads": {"miss_budget": 0.2}, "uploads/avatars": {"false_positive_budget": 0.001}},
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("other", Rules(0.01, 0.05, 0.5)),
        ("uploads", Rules(0.01, 0.2, 0.5)),
        ("uploads/news", Rules(0.01, 0.2, 0.5)),
        ("uploads/avatars", Rules(0.001, 0.05, 0.5)),
        ("uploads-2", Rules(0.01, 0.05, 0.5)),
    ],
)
def test_the_rules_of_a_source_are_its_own_its_bucket_s_or_the_policy_s(source: str, expected: Rules) -> None:
    assert rules_for(POLICY, source) == expected
