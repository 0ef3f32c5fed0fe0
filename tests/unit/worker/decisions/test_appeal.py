"""What a decision makes of an appeal."""

import pytest

from worker.decisions.appeal import AppealState, outcome_of
from worker.decisions.vocabulary import VerdictValue

AI, UNCERTAIN, NOT = VerdictValue.AI_GENERATED, VerdictValue.UNCERTAIN, VerdictValue.NOT_AI_GENERATED


@pytest.mark.parametrize(
    ("appealed", "decision", "state"),
    [
        (AI, NOT, AppealState.UPHELD),
        (AI, AI, AppealState.REJECTED),
        (NOT, AI, AppealState.UPHELD),
        (NOT, NOT, AppealState.REJECTED),
        (UNCERTAIN, NOT, AppealState.UPHELD),
        (UNCERTAIN, AI, AppealState.REJECTED),
    ],
)
def test_an_appeal_is_upheld_where_the_verdict_does_not_stand(
    appealed: VerdictValue, decision: VerdictValue, state: AppealState
) -> None:
    assert outcome_of(appealed, decision) is state
