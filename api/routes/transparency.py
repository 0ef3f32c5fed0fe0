"""The transparency report of a period: what Articles 15 and 24 of the DSA ask for, as far as Assay knows it."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from api import parts
from api.auth import Needs
from api.errors.problems import InvalidError, problems
from worker.database.api_keys import Scope
from worker.database.label_agreement import exact_interval
from worker.database.transparency import TransparencyFigures

router = APIRouter(prefix="/v1/transparency-report", tags=["transparency"], responses=problems())

LONGEST_PERIOD = timedelta(days=731)
Since = Annotated[date, Query(alias="from", description="First day, UTC.")]
Until = Annotated[date, Query(alias="to", description="First day after the period, UTC.")]
_HOUR = 3600.0


class Images(BaseModel):
    """Images of the period."""

    received: int = Field(description="That became known within the period, erased ones included.")
    with_verdict: int = Field(description="That got a verdict within the period.")
    by_machines_alone: int = Field(description="Of these, without a person's verdict within the period.")
    by_people: int
    automation_share: float | None = Field(description="`by_machines_alone` of `with_verdict`; null without images.")
    verdicts: dict[str, dict[str, int]] = Field(description="Counts of verdicts by who or what decided, then by value.")
    median_seconds_to_verdict: float | None = Field(description="From an image's arrival to its first verdict.")


class OwnInitiative(BaseModel):
    """Measures that you told Assay of (Article 15(1)(c)); one decision may restrict in several ways."""

    decisions: int
    automated_detection: int = Field(description="Of these, `automated_detection` of `Yes`.")
    automated_decision: dict[str, int] = Field(description="By the database's terms for automation.")
    automation_share: float | None = Field(description="Those decided fully by automated means; null without any.")
    by_restriction: dict[str, int]
    by_ground: dict[str, int]
    by_category: dict[str, int]
    by_source_type: dict[str, int]


class Complaints(BaseModel):
    """Appeals against verdicts (Article 15(1)(d))."""

    received: int
    decided: int
    reversed: int = Field(description="Decided for whoever appealed.")
    upheld: int = Field(description="The verdict stood.")
    reversed_share: float | None = Field(description="`reversed` of `decided`; null without any.")
    lapsed: int = Field(description="Ended by the image's erasure.")
    open_at_end: int
    median_hours_to_decision: float | None


class ErrorRate(BaseModel):
    """How often machines' verdicts were wrong, with the exact 95 % interval."""

    images: int
    wrong: int
    rate: float | None
    interval_95: tuple[float, float] | None


class Accuracy(BaseModel):
    """Indicators of the accuracy of automated means (Article 15(1)(e)), on the audit slice of the period."""

    contents: int = Field(description="Contents of the audit slice that came within the period.")
    agreed: int = Field(description="Those that reviewers agree on and a machine judged.")
    accuracy: float | None = Field(description="Right ones of all that were called either way; `uncertain` calls none.")
    accuracy_interval_95: tuple[float, float] | None
    wrongly_accused: ErrorRate = Field(description="Of images that are not AI-generated, those called AI-generated.")
    wrongly_cleared: ErrorRate = Field(description="Of AI-generated images, those called not AI-generated.")


class TransparencyReport(BaseModel):
    """What Assay knows of a period; it names no person and no image."""

    since: date
    until: date = Field(description="The first day after the period.")
    made_at: datetime
    images: Images
    own_initiative: OwnInitiative
    complaints: Complaints
    automated_means: Accuracy

    @classmethod
    def of(cls, since: date, until: date, made_at: datetime, figures: TransparencyFigures) -> "TransparencyReport":
        """Lay out what was counted."""
        return cls(
            since=since,
            until=until,
            made_at=made_at,
            images=_images(figures),
            own_initiative=_own_initiative(figures),
            complaints=_complaints(figures),
            automated_means=_accuracy(figures.audit),
        )


@router.get("", dependencies=[Depends(Needs(Scope.READ))])
def get_transparency_report(
    transparency: parts.Transparency, now: parts.Now, since: Since, until: Until
) -> TransparencyReport:
    """Count what happened within a period, in the terms of the DSA's transparency reports; as a page in the console."""
    start, end = moments(since, until)
    return TransparencyReport.of(since, until, now(), transparency.figures(start, end))


def moments(since: date, until: date) -> tuple[datetime, datetime]:
    """Return a period's first moment and its end.

    Raises:
        InvalidError: it is empty, or longer than two years.
    """
    if not since < until <= since + LONGEST_PERIOD:
        raise InvalidError("query", "to", f"must be 1 to {LONGEST_PERIOD.days} days after `from`")
    return datetime.combine(since, time(), UTC), datetime.combine(until, time(), UTC)


def _images(figures: TransparencyFigures) -> Images:
    counted = dict(figures.images)
    return Images(
        **counted,
        automation_share=_share(counted["by_machines_alone"], counted["with_verdict"]),
        verdicts={name: dict(counts) for name, counts in figures.verdicts.items()},
        median_seconds_to_verdict=figures.seconds_to_verdict,
    )


def _own_initiative(figures: TransparencyFigures) -> OwnInitiative:
    counted, terms = figures.decisions, figures.terms
    automation = {name: counted[name.lower()] for name in ("FULLY", "PARTIALLY", "NOT_AUTOMATED")}
    return OwnInitiative(
        decisions=counted["count"],
        automated_detection=counted["detected"],
        automated_decision={f"AUTOMATED_DECISION_{name}": count for name, count in automation.items()},
        automation_share=_share(counted["fully"], counted["count"]),
        by_restriction=dict(terms.get("restriction", {})),
        by_ground=dict(terms.get("decision_ground", {})),
        by_category=dict(terms.get("category", {})),
        by_source_type=dict(terms.get("source_type", {})),
    )


def _complaints(figures: TransparencyFigures) -> Complaints:
    counted = dict(figures.appeals)
    seconds, decided = counted.pop("median_seconds"), counted["reversed"] + counted["upheld"]
    return Complaints(
        **counted,
        decided=decided,
        reversed_share=_share(counted["reversed"], decided),
        median_hours_to_decision=None if seconds is None else float(seconds) / _HOUR,
    )


def _accuracy(audit: Any) -> Accuracy:
    rates = audit["overall"]
    accused, cleared = rates["not_ai_generated"], rates["ai_generated"]
    right = accused["verdicts"]["not_ai_generated"] + cleared["verdicts"]["ai_generated"]
    wrong = (accused["verdicts"]["ai_generated"], cleared["verdicts"]["not_ai_generated"])
    called = right + sum(wrong)
    return Accuracy(
        contents=audit["contents"],
        agreed=audit["labelled"],
        accuracy=_share(right, called),
        accuracy_interval_95=exact_interval(right, called) if called else None,
        wrongly_accused=ErrorRate(
            images=accused["images"],
            wrong=wrong[0],
            rate=accused["wrongly_accused"],
            interval_95=accused["interval_95"],
        ),
        wrongly_cleared=ErrorRate(
            images=cleared["images"],
            wrong=wrong[1],
            rate=cleared["wrongly_cleared"],
            interval_95=cleared["interval_95"],
        ),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
