"""What a policy would change: the champion's newest verdicts, judged anew by other terms."""

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel

from worker.database.policies import JudgedImage
from worker.decisions.action import Action, recommend
from worker.decisions.calibration import CalibrationFigures, Thresholds, shift
from worker.decisions.policy import PolicyTerms, Rules, actions_for, rules_for
from worker.decisions.verdict import weigh
from worker.decisions.vocabulary import VerdictValue

_MOST_EXAMPLES = 20


class Change(BaseModel):
    """How many verdicts would go from one value to another."""

    before: VerdictValue
    after: VerdictValue
    images: int


class Cuts(BaseModel):
    """The thresholds that the terms give a source."""

    source: str
    lower: float
    upper: float


class ActionCount(BaseModel):
    """How many of the images would be recommended one action."""

    action: Action
    images: int


class Preview(BaseModel):
    """What would change among the verdicts that were looked at."""

    examined: int
    changed: int
    changes: list[Change]
    actions: list[ActionCount]
    thresholds: list[Cuts]
    examples: list[str]


def preview(terms: PolicyTerms, figures: CalibrationFigures, images: Sequence[JudgedImage]) -> Preview:
    """Judge stored verdicts by other terms; nothing is written.

    Args:
        terms: of the policy that might be.
        figures: of the bundle that gave the verdicts.
        images: with its verdicts.
    """
    rules: dict[str, Rules] = {}
    cuts: dict[str, Thresholds] = {}
    changes: Counter[tuple[VerdictValue, VerdictValue]] = Counter()
    actions: Counter[Action] = Counter()
    examples: list[str] = []
    for one in images:
        if one.source not in cuts:
            rules[one.source] = rules_for(terms, one.source)
            cuts[one.source] = rules[one.source].thresholds(figures)
        again = shift(one.probability, terms.prior_shift - one.prior_shift)
        gravest = None if one.gravest_frame is None else shift(one.gravest_frame, terms.prior_shift - one.prior_shift)
        declared_origin = rules[one.source].declared_origin
        after, decided_by = weigh(again, cuts[one.source], one.provenance, declared_origin, gravest)
        actions[recommend(actions_for(terms, one.source), after, decided_by)] += 1
        if after is not one.verdict:
            changes[one.verdict, after] += 1
            if len(examples) < _MOST_EXAMPLES:
                examples.append(one.image_id)
    return Preview(
        examined=len(images),
        changed=changes.total(),
        changes=[Change(before=old, after=new, images=count) for (old, new), count in changes.most_common()],
        actions=[ActionCount(action=action, images=count) for action, count in actions.most_common()],
        thresholds=[Cuts(source=source, lower=cut.lower, upper=cut.upper) for source, cut in sorted(cuts.items())],
        examples=examples,
    )
