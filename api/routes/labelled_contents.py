"""What labels come to: which contents reviewers agree on, what they dispute, and rates on the audit slice."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from api import parts
from api.auth import Needs
from api.errors.problems import problems
from api.requests.cursors import Cursor, Limit, decode_cursor, encode_cursor, next_cursor
from worker.database.api_keys import Scope
from worker.database.label_agreement import LabelState, Standing
from worker.database.tables import Image, LabelValue

router = APIRouter(prefix="/v1/labels", tags=["labels"], responses=problems())

_may_read = Depends(Needs(Scope.READ))


class Reviewers(BaseModel):
    """How many reviewers say what; the newest label of each counts."""

    ai_generated: int
    not_ai_generated: int


class LabelledContent(BaseModel):
    """A content that people have labelled, whatever number of images has these bytes."""

    image_id: Annotated[str, Field(description="Of the image that was labelled last.")]
    source: str
    sha256: str | None
    state: Annotated[LabelState, Field(description="Only what is `agreed`, and not in the audit slice, trains.")]
    label: Annotated[LabelValue | None, Field(description="What the reviewers agree on.")]
    reviewers: Reviewers
    audit: Annotated[bool, Field(description="In the audit slice: kept apart from training.")]

    @classmethod
    def of(cls, standing: Standing) -> "LabelledContent":
        """Return the answer's form of a database row."""
        counts = Reviewers(ai_generated=standing.ai_generated, not_ai_generated=standing.not_ai_generated)
        return cls(
            image_id=standing.image.image_id,
            source=standing.image.source,
            sha256=standing.image.sha256,
            state=standing.state,
            label=standing.label,
            reviewers=counts,
            audit=standing.audit,
        )


class LabelledContents(BaseModel):
    """A page of labelled contents, the one labelled last first."""

    items: list[LabelledContent]
    next_cursor: str | None


class AuditNegatives(BaseModel):
    """Images of the audit slice that are not AI-generated."""

    images: int
    verdicts: dict[str, int]
    wrongly_accused: float | None
    interval_95: tuple[float, float] | None


class AuditPositives(BaseModel):
    """Images of the audit slice that are AI-generated."""

    images: int
    verdicts: dict[str, int]
    wrongly_cleared: float | None
    interval_95: tuple[float, float] | None


class Rates(BaseModel):
    """How often machine verdicts are wrong, for either class."""

    not_ai_generated: AuditNegatives
    ai_generated: AuditPositives


class AuditRates(BaseModel):
    """Rates on the audit slice; unbiased once all of it is labelled, or labelled from the front of its worklist."""

    contents: Annotated[int, Field(description="Contents in the slice.")]
    labelled: Annotated[int, Field(description="Those that reviewers agree on and a machine has judged.")]
    overall: Rates
    by_source: dict[str, Rates]


class ToLabel(BaseModel):
    """An image of the audit slice that nobody has labelled yet."""

    image_id: str
    source: str
    created_at: datetime

    @classmethod
    def of(cls, image: Image) -> "ToLabel":
        """Return the answer's form of a database row."""
        return cls(image_id=image.image_id, source=image.source, created_at=image.created_at)


class Worklist(BaseModel):
    """A page of what is to be labelled, in an order as good as drawn by lot."""

    items: list[ToLabel]
    next_cursor: str | None


@router.get("", dependencies=[_may_read])
def list_labelled_contents(
    pages: parts.LabelPages,
    state: LabelState | None = None,
    audit: Annotated[bool | None, Query(description="In the audit slice, or not.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> LabelledContents:
    """List what people have labelled: agreed, in quarantine until enough reviewers agree, or disputed.

    Where few labels are of the wanted kind, a page may hold fewer than `limit`; go on until `next_cursor` is null.
    """
    page = pages.page(limit=limit, before=decode_cursor(cursor), state=state, audit=audit)
    return LabelledContents(
        items=[LabelledContent.of(standing) for standing in page.items],
        next_cursor=None if page.before is None else encode_cursor(page.before),
    )


@router.get("/audit", dependencies=[_may_read])
def get_audit_rates(contents: parts.LabelledContents) -> AuditRates:
    """Tell how often machine verdicts are wrong, measured on the audit slice alone."""
    return AuditRates.model_validate(contents.rates())


@router.get("/audit/unlabelled", dependencies=[_may_read])
def list_audit_worklist(contents: parts.LabelledContents, limit: Limit = 50, cursor: Cursor = None) -> Worklist:
    """List what of the audit slice nobody has labelled yet; label from the front on for unbiased rates."""
    after = decode_cursor(cursor)
    images = contents.unlabelled(limit=limit + 1, after=-1 if after is None else after)
    return Worklist(
        items=[ToLabel.of(image) for _, image in images[:limit]],
        next_cursor=next_cursor([place for place, _ in images], limit),
    )
