"""What a policy would change: the champion's newest verdicts, judged anew by other terms."""

import json
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files

from pydantic import BaseModel

from worker.database.bundles import SHIPPED
from worker.database.policies import Judged, PolicyTerms
from worker.database.tables import Bundle
from worker.decisions.calibration import CalibrationFigures, Thresholds, derive_thresholds, shift
from worker.decisions.verdict import compare, rules_for
from worker.decisions.vocabulary import VerdictValue
from worker.errors import AssayError

_MOST_EXAMPLES = 20


class NoFiguresError(AssayError):
    """The calibration figures of the champion are not at hand here; preview with a bundle that this release ships."""


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


class Preview(BaseModel):
    """What would change among the verdicts that were looked at."""

    examined: int
    changed: int
    changes: list[Change]
    thresholds: list[Cuts]
    examples: list[str]


def figures_of(bundle: Bundle) -> CalibrationFigures:
    """Return the figures that thresholds stand on.

    Raises:
        NoFiguresError: they are not at hand.
    """
    if not bundle.location.startswith(SHIPPED):
        raise NoFiguresError
    description = files("worker") / "bundles" / "shipped" / bundle.location.removeprefix(SHIPPED) / "bundle.json"
    try:
        told = json.loads(description.read_text("utf-8"))
    except OSError as error:
        raise NoFiguresError from error
    if told["version"] != bundle.version:
        raise NoFiguresError
    return CalibrationFigures.from_json(told["figures"])


def preview(terms: PolicyTerms, figures: CalibrationFigures, judged: Sequence[Judged]) -> Preview:
    """Judge verdicts anew. Pure.

    Args:
        terms: of the policy that might be.
        figures: of the bundle that gave the verdicts.
        judged: its verdicts; where what the file says of its origin bars clearing it, nothing is cleared.
    """
    columns = terms.columns()
    cuts: dict[str, Thresholds] = {}
    changes: Counter[tuple[VerdictValue, VerdictValue]] = Counter()
    examples: list[str] = []
    for one in judged:
        if one.source not in cuts:
            rules = rules_for(columns, one.source)
            budgets = {"false_positive_budget": rules.false_positive_budget, "miss_budget": rules.miss_budget}
            cuts[one.source] = derive_thresholds(figures, **budgets, prior_shift=terms.prior_shift)
        after = _again(one, terms.prior_shift, cuts[one.source])
        if after is not one.verdict:
            changes[one.verdict, after] += 1
            if len(examples) < _MOST_EXAMPLES:
                examples.append(one.image_id)
    return Preview(
        examined=len(judged),
        changed=changes.total(),
        changes=[Change(before=old, after=new, images=count) for (old, new), count in changes.most_common()],
        thresholds=[Cuts(source=source, lower=cut.lower, upper=cut.upper) for source, cut in sorted(cuts.items())],
        examples=examples,
    )


def _again(one: Judged, prior_shift: float, cuts: Thresholds) -> VerdictValue:
    after = compare(shift(one.probability, prior_shift - one.prior_shift), cuts)
    return VerdictValue.UNCERTAIN if one.barred and after is VerdictValue.NOT_AI_GENERATED else after
