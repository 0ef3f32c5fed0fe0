"""What a policy would change: the champion's newest verdicts, judged anew by other terms."""

import json
from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel

from worker.bundles.shipped_files import shipped_folder
from worker.database.bundles import SHIPPED
from worker.database.policies import Judged
from worker.database.tables import Bundle
from worker.decisions.calibration import CalibrationFigures, Thresholds, shift
from worker.decisions.policy import PolicyTerms, Rules, rules_for
from worker.decisions.verdict import weigh
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
    description = shipped_folder(bundle.location.removeprefix(SHIPPED), bundle.version) / "bundle.json"
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
        judged: its verdicts.
    """
    rules: dict[str, Rules] = {}
    cuts: dict[str, Thresholds] = {}
    changes: Counter[tuple[VerdictValue, VerdictValue]] = Counter()
    examples: list[str] = []
    for one in judged:
        if one.source not in cuts:
            rules[one.source] = rules_for(terms, one.source)
            cuts[one.source] = rules[one.source].thresholds(figures)
        again = shift(one.probability, terms.prior_shift - one.prior_shift)
        after, _ = weigh(again, cuts[one.source], one.provenance, rules[one.source].declared_origin)
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
