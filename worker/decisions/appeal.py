"""Appeals: what becomes of one when a person decides. Pure."""

from enum import StrEnum

from worker.decisions.vocabulary import VerdictValue


class AppealState(StrEnum):
    """Where an appeal stands; all but the first are final."""

    OPEN = "open"
    UPHELD = "upheld"  # whoever appealed was right: the verdict does not stand
    REJECTED = "rejected"  # the verdict stands
    LAPSED = "lapsed"  # the image was erased before anybody decided


def outcome_of(appealed: VerdictValue, decision: VerdictValue) -> AppealState:
    """Return what a decision makes of an appeal.

    An appeal against `uncertain` asks for the image to be cleared, so that alone upholds it.

    Args:
        appealed: the verdict that was served when somebody appealed.
        decision: what the person says who decides.
    """
    if appealed is VerdictValue.UNCERTAIN:
        cleared = decision is VerdictValue.NOT_AI_GENERATED
        return AppealState.UPHELD if cleared else AppealState.REJECTED
    return AppealState.REJECTED if decision is appealed else AppealState.UPHELD
