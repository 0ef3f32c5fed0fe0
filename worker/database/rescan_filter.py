"""What a rescan of history names: a filter, as its row keeps it and as Postgres answers it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, select

from worker.database.serving_rule import served_verdict
from worker.database.tables import Image, Verdict
from worker.decisions.vocabulary import VerdictValue


@dataclass(frozen=True)
class RescanFilter:
    """Which images are scanned again; None is no restriction. People's verdicts do not count for it.

    Attributes:
        source: exactly this source.
        bucket: in this bucket.
        prefix: their keys begin so.
        verdict: judged so.
        judged_by: by this bundle version.
        since: known at or after this time.
        until: known before this time.
        min_probability: judged at least this probable.
        max_probability: judged at most this probable.
    """

    source: str | None = None
    bucket: str | None = None
    prefix: str | None = None
    verdict: VerdictValue | None = None
    judged_by: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_probability: float | None = None
    max_probability: float | None = None

    def restrictions(self) -> dict[str, Any]:
        """Return the fields that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def as_json(self) -> dict[str, Any]:
        """Return what is restricted, as plain values."""
        restrictions = self.restrictions().items()
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in restrictions}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "RescanFilter":
        """Read what :meth:`as_json` wrote."""
        times = {name: datetime.fromisoformat(document[name]) for name in ("since", "until") if name in document}
        return cls(**{**document, **times})


_BY_IMAGE: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "source": lambda value: Image.source == value,
    "bucket": lambda value: Image.bucket == value,
    "prefix": lambda value: func.starts_with(Image.key, value),
    "since": lambda value: Image.created_at >= value,
    "until": lambda value: Image.created_at < value,
}


def images_of(history: RescanFilter) -> Select[int]:
    """Return the statement for the ids of the images that a filter names, by the verdicts that count now."""
    served = served_verdict(Image.id, by_machine=True)
    newest = (
        select(Verdict.verdict, Verdict.bundle_version, Verdict.probability)
        .join(served, served.c.id == Verdict.id)
        .lateral("newest")
    )
    by_verdict: dict[str, Callable[[Any], ColumnElement[bool]]] = {
        "verdict": lambda value: newest.c.verdict == value,
        "judged_by": lambda value: newest.c.bundle_version == value,
        "min_probability": lambda value: newest.c.probability >= value,
        "max_probability": lambda value: newest.c.probability <= value,
    }
    values = history.restrictions()
    images = select(Image.id).where(Image.erased_at.is_(None))
    if by_verdict.keys() & values.keys():
        images = images.join(newest, literal(value=True))
    restrictions = _BY_IMAGE | by_verdict
    return images.where(*[restrictions[name](value) for name, value in values.items()])
