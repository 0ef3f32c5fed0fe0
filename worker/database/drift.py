"""Drift in Postgres: what is measured day by day, and the counts that it is measured from."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Date, cast, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.bundles import champion
from worker.database.session import Database
from worker.database.tables import Bundle, BundleRole, Drift, Policy, Verdict
from worker.decisions.drift import LEAST_IMAGES, Moments, VerdictCounts, feature_shift, measures, moments_of
from worker.decisions.vocabulary import DecidedBy, VerdictValue

_REFERENCE = timedelta(days=28)
_CANARY = "canary"
# Features of so many images tell their mean to a thirtieth of their spread.
_SAMPLE = 1000


class DriftMeasures:
    """Measures the champion's verdicts by source, a day at a time."""

    def __init__(self, database: Database, canary_source: str | None = None) -> None:
        """Keep where to look.

        Args:
            database: where verdicts are.
            canary_source: source that holds photographs alone; whoever is flagged there is accused wrongly.
        """
        self._database = database
        self._canary = canary_source

    def measure(self, day: date | None = None) -> Mapping[str, Mapping[str, Any]]:
        """Measure a day, UTC, today when left out, and write it down; measured again, it is replaced.

        Returns:
            Source to measures; empty without a champion.
        """
        with self._database.transaction() as session:
            serving = champion(session)
            if serving is None:
                return {}
            on = day or session.scalar(select(cast(func.timezone("UTC", func.now()), Date))) or date.min
            midnight = datetime.combine(on, time(), UTC)
            today = _count_verdicts(session, serving.version, midnight, midnight + timedelta(days=1))
            before = _count_verdicts(session, serving.version, midnight - _REFERENCE, midnight)
            nothing = VerdictCounts({}, {}, 0)
            by_source = {source: measures(one, before.get(source, nothing)) for source, one in today.items()}
            shifts = _shifts(session, serving, [s for s, one in today.items() if one.images >= LEAST_IMAGES], midnight)
            for source, values in by_source.items():
                values["feature_shift"], values["calibration_shift"] = shifts.get(source, (None, None))
            if self._canary is not None:
                rate = _canary_rate(session, serving.version, self._canary)
                by_source[self._canary] = {**by_source.get(self._canary, {}), _CANARY: rate}
            for source, values in by_source.items():
                row = {"day": on, "source": source, "bundle_version": serving.version, "measures": values}
                new = upsert(Drift).values(**row)
                replaced = {"measures": new.excluded.measures, "created_at": func.now()}
                session.execute(
                    new.on_conflict_do_update(index_elements=["day", "source", "bundle_version"], set_=replaced)
                )
        return by_source

    def page(self, *, days: int, source: str | None = None) -> Sequence[Drift]:
        """Return the measures of the last days, newest first."""
        rows = (
            select(Drift)
            .where(Drift.day > func.current_date() - days)
            .order_by(Drift.day.desc(), Drift.source, Drift.bundle_version)
        )
        with self._database.transaction() as session:
            return session.scalars(rows if source is None else rows.where(Drift.source == source)).all()


def newest_measures(session: Session, *, most: int) -> dict[str, dict[str, Any]]:
    """Return what is known of the champion's verdicts by source: today's measures, and yesterday's where these lack.

    Args:
        session: of a transaction.
        most: sources, those with most images; the canaries are always among them.
    """
    today = cast(func.timezone("UTC", func.now()), Date)
    serving = select(Bundle.version).where(Bundle.role == BundleRole.CHAMPION).scalar_subquery()
    images = func.max(Drift.measures["images"].as_integer()).over(partition_by=Drift.source)
    rows = (
        select(Drift.source, Drift.measures)
        .where(Drift.bundle_version == serving, Drift.day >= today - 1)
        .order_by(Drift.measures.has_key(_CANARY).desc(), images.desc().nulls_last(), Drift.source, Drift.day)
        .limit(2 * most)
    )
    newest: dict[str, dict[str, Any]] = {}
    for source, values in session.execute(rows):
        newest.setdefault(source, {}).update({name: value for name, value in values.items() if value is not None})
    return dict(list(newest.items())[:most])


# Of each source: percent, verdict, whether the detectors disagree, and how many.
_COUNTS = text("""
SELECT source, percent, verdict, disagreed, count(*)
FROM (
  SELECT source, percent, verdict,
    coalesce((SELECT min(p) <= 0.5 AND max(p) > 0.5
              FROM (SELECT (one.value ->> 'probability')::float AS p FROM jsonb_each(detectors) AS one) AS alone),
             false) AS disagreed
  FROM verdict
  WHERE created_at >= :since AND created_at < :until AND bundle_version = :version
    AND NOT shadow AND decided_by = 'machine' AND percent IS NOT NULL
) AS judged
GROUP BY 1, 2, 3, 4
""")


def _count_verdicts(session: Session, version: str, since: datetime, until: datetime) -> dict[str, VerdictCounts]:
    by_source: dict[str, tuple[dict[int, int], dict[str, int], list[int]]] = {}
    for source, percent, verdict, disagreed, count in session.execute(
        _COUNTS, {"since": since, "until": until, "version": version}
    ):
        percents, verdicts, differing = by_source.setdefault(source, ({}, {}, []))
        percents[percent] = percents.get(percent, 0) + count
        verdicts[verdict] = verdicts.get(verdict, 0) + count
        differing.append(count if disagreed else 0)
    return {
        source: VerdictCounts(percents, verdicts, sum(differing))
        for source, (percents, verdicts, differing) in by_source.items()
    }


# Samples by a hash of the image: the same each time, and no sort by time. One pass over what is kept, however many
# sources there are; the features themselves are read of the sample alone.
_SAMPLES = text("""
WITH kept AS (
  SELECT feature.image_pk, image.source, feature.created_at >= :midnight AS today
  FROM feature JOIN image ON image.id = feature.image_pk
  WHERE feature.bundle_version = :version AND image.source = ANY(:sources)
    AND feature.created_at >= :since AND feature.created_at < :until
), placed AS (
  SELECT image_pk, source, today,
    row_number() OVER (PARTITION BY source, today ORDER BY hashint8(image_pk)) AS place
  FROM kept
)
SELECT placed.source, placed.today, feature.features
FROM placed JOIN feature ON feature.image_pk = placed.image_pk AND feature.bundle_version = :version
WHERE placed.place <= :most
ORDER BY placed.source
""")


def _shifts(
    session: Session, serving: Bundle, sources: Sequence[str], midnight: datetime
) -> dict[str, tuple[float | None, float | None]]:
    """Tell how far what the detector sees has moved by source: from the weeks before, and from its calibration set.

    A source at a time is held in memory.
    """
    if not sources:
        return {}
    window = {"since": midnight - _REFERENCE, "midnight": midnight, "until": midnight + timedelta(days=1)}
    arguments = {"version": serving.version, "sources": list(sources), "most": _SAMPLE, **window}
    sampled = session.execute(_SAMPLES.execution_options(yield_per=_SAMPLE), arguments)
    card = serving.card.get("features")
    calibration = card and Moments(card["images"], card["mean"], card["deviation"])
    shifts = {}
    for source, rows in groupby(sampled, key=lambda row: row.source):
        samples: tuple[list[bytes], list[bytes]] = ([], [])
        for row in rows:
            samples[row.today].append(row.features)
        before, today = map(moments_of, samples)
        shifts[source] = (feature_shift(before, today), feature_shift(calibration, today))
    return shifts


def _canary_rate(session: Session, version: str, source: str) -> dict[str, Any]:
    """Tell how many of the canary photographs the champion flags under the newest policy, whenever it judged them."""
    newest = select(func.max(Policy.version)).scalar_subquery()
    counts = select(func.count(), func.count().filter(Verdict.verdict == VerdictValue.AI_GENERATED)).where(
        Verdict.source == source,
        Verdict.bundle_version == version,
        Verdict.policy_version == newest,
        Verdict.shadow.is_(False),
        Verdict.decided_by == DecidedBy.MACHINE,
    )
    images, flagged = session.execute(counts).one()
    return {"images": images, "flagged": flagged, "rate": flagged / images if images else None}
