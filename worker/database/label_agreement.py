"""What people's labels come to: contents that reviewers agree on, dispute, or that wait for a second opinion.

A reviewer is a key, or a registered person whose name a key of scope `review:delegate` passes on. Their newest label of
a content is what they say of it; of images of the same bytes it does not matter which was labelled. For training a
content counts once enough reviewers agree and none disagrees. The audit slice, a share of all contents that their own
hash chooses, never trains: rates measured on it are not those of a bundle's own homework.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Subquery,
    and_,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, distinct_on
from sqlalchemy.orm import aliased

from worker.database.serving_rule import served_verdict
from worker.database.session import Database
from worker.database.tables import ApiKey, Image, Label, LabelValue, Verdict
from worker.decisions.bounds import clopper_pearson_upper
from worker.decisions.vocabulary import BY_PIXELS, VerdictValue

AUDIT_PLACES = 2**32


class LabelState(StrEnum):
    """Where a labelled content stands."""

    AGREED = "agreed"
    QUARANTINED = "quarantined"
    DISPUTED = "disputed"


@dataclass(frozen=True)
class LabelTerms:
    """When a label may train.

    Attributes:
        reviewers: distinct ones who must agree.
        audit_share: of all contents, 0 to 1, that never train.
    """

    reviewers: int = 2
    audit_share: float = 0.02


@dataclass(frozen=True)
class Standing:
    """What people's labels of one content come to.

    Attributes:
        newest_id: of the newest label that somebody gave it.
        image: the one that was labelled last.
        state: where it stands.
        label: what the reviewers agree on, None where they do not.
        ai_generated, not_ai_generated: how many reviewers say so.
        audit: whether it is in the audit slice.
    """

    newest_id: int
    image: Image
    state: LabelState
    label: LabelValue | None
    ai_generated: int
    not_ai_generated: int
    audit: bool


class LabelledContents:
    """Reads what the labels come to."""

    def __init__(self, database: Database, terms: LabelTerms) -> None:
        self._database = database
        self._terms = terms

    def unlabelled(self, *, limit: int, after: int = -1) -> Sequence[tuple[int, Image]]:
        """Return contents of the audit slice that nobody has labelled, by their places, those beyond ``after``.

        Places are as good as drawn by lot, so whoever labels from the first one on has a random sample at any time.
        """
        copy = aliased(Image)
        labels = select(Label.id).join(copy, copy.id == Label.image_pk).where(copy.sha256 == Image.sha256)
        slice_ = (
            select(audit_place.label("place"), Image)
            .ext(distinct_on(audit_place))
            .where(in_audit(self._terms), audit_place > after, Image.erased_at.is_(None), ~labels.exists())
            .order_by(audit_place, Image.id)
            .limit(limit)
        )
        with self._database.transaction() as session:
            return [(place, image) for place, image in session.execute(slice_)]

    def rates(self, period: tuple[datetime, datetime] | None = None) -> dict[str, Any]:
        """Measure the verdicts that pixels decided against people's, on the audit slice alone.

        Args:
            period: only verdicts and images that came from its first moment on and before its last; all without it.

        Returns:
            `contents` and `labelled` (agreed) of the slice, and `overall` and `by_source`: for either class how many
            `images`, their machine verdicts, and the rate of wrong ones with its exact 95 % interval.
        """
        contents = standings(self._terms)
        machine = served_verdict(contents.c.image_pk, by_machine=True, name="machine")
        counted = (
            select(Image.source, contents.c.label, Verdict.verdict, func.count())
            .select_from(contents)
            .join(Image, Image.id == contents.c.image_pk)
            .join(machine, true())
            .join(Verdict, Verdict.id == machine.c.id)
            # What a file says of itself, signed or not, says nothing of the detectors.
            .where(contents.c.audit, contents.c.state == LabelState.AGREED, Verdict.decided_by.in_(BY_PIXELS))
            .where(_within(Verdict.created_at, period))
            .group_by(Image.source, contents.c.label, Verdict.verdict)
        )
        with self._database.transaction() as session:
            rows = [tuple(row) for row in session.execute(counted)]
            sliced = select(func.count(func.distinct(Image.sha256))).where(in_audit(self._terms))
            sliced = sliced.where(Image.erased_at.is_(None), _within(Image.created_at, period))
            total = session.scalar(sliced) or 0
        sources = sorted({source for source, *_ in rows})
        return {
            "contents": total,
            "labelled": sum(count for *_, count in rows),
            "overall": _rates([(label, verdict, count) for _, label, verdict, count in rows]),
            "by_source": {
                source: _rates([(label, verdict, count) for of, label, verdict, count in rows if of == source])
                for source in sources
            },
        }


def _within(moment: Any, period: tuple[datetime, datetime] | None) -> ColumnElement[bool]:
    return true() if period is None else and_(moment >= period[0], moment < period[1])


audit_place: ColumnElement[int] = literal_column("(('x' || right(image.sha256, 8))::bit(32)::bigint)", BigInteger)


def in_audit(terms: LabelTerms) -> ColumnElement[bool]:
    """Return the condition that an image's content is in the audit slice; one that is not known yet is not."""
    return and_(Image.sha256.is_not(None), audit_place < round(terms.audit_share * AUDIT_PLACES))


def content_of_image() -> ColumnElement[str]:
    """Return what names an image's content: its hash, or itself where that is not known yet."""
    return func.coalesce(Image.sha256, func.concat("image:", Image.id))


def standings(terms: LabelTerms, until: int | None = None, among: ColumnElement[bool] | None = None) -> Subquery:
    """Return the labelled contents: `content`, `newest_id`, `image_pk`, `ai`, `not_ai`, `audit`, `state`, `label`.

    Args:
        terms: when a label may train.
        until: as of this label's id.
        among: a condition on images that holds for all or none of a content; all contents where it is left out.
    """
    content = content_of_image()
    name = func.lower(func.btrim(Label.reviewer))  # one person, however they spell themselves today
    # Who labelled under an older release, where names counted, is today's key or registered reviewer of that name.
    # No `SELECT *`: a training worker may read names of keys, and not their hashes.
    of_a_key = exists(ApiKey.id).where(
        func.concat("key:", ApiKey.id) == Label.voice, func.lower(func.btrim(ApiKey.name)) == name
    )
    own_name = or_(Label.voice == func.concat("reviewer:", name), of_a_key)
    today = func.max(Label.voice).filter(own_name).over(partition_by=(content, name))
    voice = func.coalesce(Label.voice, today, name)
    opinion = (
        select(
            content.label("content"),
            Label.id.label("id"),
            Label.label.label("label"),
            Label.image_pk.label("image_pk"),
            func.coalesce(in_audit(terms), False).label("audit"),
            # What a copy inherited is nothing that anybody has said since; where the labelled one is erased, it is all.
            func.coalesce(
                func.max(Label.id).filter(~Label.of_duplicate).over(partition_by=content),
                func.max(Label.id).over(partition_by=content),
            ).label("label_id"),
        )
        .ext(distinct_on(content, voice))
        .join(Image, Image.id == Label.image_pk)
        .where(Image.erased_at.is_(None), true() if until is None else Label.id <= until)
        .where(true() if among is None else among)
        .order_by(content, voice, Label.id.desc())
        .subquery("opinion")
    )
    says_ai = func.count().filter(opinion.c.label == LabelValue.AI_GENERATED)
    says_not = func.count().filter(opinion.c.label == LabelValue.NOT_AI_GENERATED)
    counted = (
        select(
            opinion.c.content,
            func.max(opinion.c.label_id).label("newest_id"),
            func.array_agg(aggregate_order_by(opinion.c.image_pk, opinion.c.id.desc()))[1].label("image_pk"),
            says_ai.label("ai"),
            says_not.label("not_ai"),
            func.bool_or(opinion.c.audit).label("audit"),
        )
        .group_by(opinion.c.content)
        .subquery("counted")
    )
    ai, not_ai = counted.c.ai, counted.c.not_ai
    agreed = or_(ai >= terms.reviewers, not_ai >= terms.reviewers)
    disputed = and_(ai > 0, not_ai > 0)
    state = case((disputed, LabelState.DISPUTED.value), (agreed, LabelState.AGREED.value), else_="quarantined")
    label = case(
        (or_(disputed, ~agreed), None), (ai > 0, LabelValue.AI_GENERATED.value), else_=LabelValue.NOT_AI_GENERATED.value
    )
    named: Select[Any] = select(counted, state.label("state"), label.label("label"))
    return named.subquery("standing")


def standing_of(row: Any) -> Standing:
    """Return a row of :func:`standings`, joined with its image, as a value."""
    label = LabelValue(row.label) if row.label else None
    return Standing(row.newest_id, row.Image, LabelState(row.state), label, row.ai, row.not_ai, row.audit)


def _rates(rows: Sequence[tuple[str, str, int]]) -> dict[str, Any]:
    """Lay counts of (label, machine verdict) out as rates."""
    rates: dict[str, Any] = {}
    for truth, wrong, name in (
        (LabelValue.NOT_AI_GENERATED, VerdictValue.AI_GENERATED, "wrongly_accused"),
        (LabelValue.AI_GENERATED, VerdictValue.NOT_AI_GENERATED, "wrongly_cleared"),
    ):
        verdicts = {value.value: 0 for value in VerdictValue}
        for label, verdict, count in rows:
            verdicts[verdict] += count * (label == truth)
        images, errors = sum(verdicts.values()), verdicts[wrong]
        rates[truth.value] = {
            "images": images,
            "verdicts": verdicts,
            name: errors / images if images else None,
            "interval_95": exact_interval(errors, images) if images else None,
        }
    return rates


def exact_interval(errors: int, images: int) -> tuple[float, float]:
    """Return the two-sided 95 % Clopper-Pearson interval of a rate."""
    low = 1.0 - clopper_pearson_upper(images - errors, images, 0.025)
    return low, clopper_pearson_upper(errors, images, 0.025)
