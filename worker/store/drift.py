"""Drift in Postgres: what is measured day by day, and the counts that it is measured from."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Date, cast, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.drift import Seen, feature_shift, measures
from worker.store.bundles import champion
from worker.store.session import Database
from worker.store.tables import Bundle, BundleRole, Drift, Feature, Image, Policy, Verdict
from worker.words import DecidedBy, VerdictValue

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
            today = _seen(session, serving.version, midnight, midnight + timedelta(days=1))
            before = _seen(session, serving.version, midnight - _REFERENCE, midnight)
            nothing = Seen({}, {}, 0)
            found = {source: measures(one, before.get(source, nothing)) for source, one in today.items()}
            for source, told in found.items():
                reference = _features(session, serving.version, source, midnight - _REFERENCE, midnight)
                seen = _features(session, serving.version, source, midnight, midnight + timedelta(days=1))
                told["feature_shift"] = feature_shift(reference, seen)
            if self._canary is not None:
                rate = _canary_rate(session, serving.version, self._canary)
                found[self._canary] = {**found.get(self._canary, {}), _CANARY: rate}
            for source, told in found.items():
                row = {"day": on, "source": source, "bundle_version": serving.version, "measures": told}
                new = upsert(Drift).values(**row)
                replaced = {"measures": new.excluded.measures, "created_at": func.now()}
                session.execute(
                    new.on_conflict_do_update(index_elements=["day", "source", "bundle_version"], set_=replaced)
                )
        return found

    def page(self, *, days: int, source: str | None = None) -> Sequence[Drift]:
        """Return the measures of the last days, newest first."""
        rows = (
            select(Drift)
            .where(Drift.day > func.current_date() - days)
            .order_by(Drift.day.desc(), Drift.source, Drift.bundle_version)
        )
        with self._database.transaction() as session:
            return session.scalars(rows if source is None else rows.where(Drift.source == source)).all()


def newest_measures(session: Session) -> dict[str, dict[str, Any]]:
    """Return what is known of each source under the champion: today's, or yesterday's where today cannot tell yet."""
    champions = select(Bundle.version).where(Bundle.role == BundleRole.CHAMPION)
    today = cast(func.timezone("UTC", func.now()), Date)
    rows = (
        select(Drift.source, Drift.measures)
        .where(Drift.bundle_version.in_(champions), Drift.day >= today - 1)
        .order_by(Drift.day)
    )
    found: dict[str, dict[str, Any]] = {}
    for source, told in session.execute(rows):
        found.setdefault(source, {}).update({name: value for name, value in told.items() if value is not None})
    return found


# Of each source: percent, verdict, whether the detectors disagree, and how many.
_COUNTS = text("""
SELECT source, percent, verdict, disagreed, count(*)
FROM (
  SELECT source, percent, verdict,
    coalesce((SELECT min(p) <= 0.5 AND max(p) > 0.5
              FROM (SELECT (told.value ->> 'probability')::float AS p FROM jsonb_each(detectors) AS told) AS alone),
             false) AS disagreed
  FROM verdict
  WHERE created_at >= :since AND created_at < :until AND bundle_version = :version
    AND NOT shadow AND decided_by = 'machine' AND percent IS NOT NULL
) AS judged
GROUP BY 1, 2, 3, 4
""")


def _seen(session: Session, version: str, since: datetime, until: datetime) -> dict[str, Seen]:
    found: dict[str, tuple[dict[int, int], dict[str, int], list[int]]] = {}
    for source, percent, verdict, disagreed, count in session.execute(
        _COUNTS, {"since": since, "until": until, "version": version}
    ):
        percents, verdicts, differing = found.setdefault(source, ({}, {}, []))
        percents[percent] = percents.get(percent, 0) + count
        verdicts[verdict] = verdicts.get(verdict, 0) + count
        differing.append(count if disagreed else 0)
    return {source: Seen(percents, verdicts, sum(counts)) for source, (percents, verdicts, counts) in found.items()}


def _features(session: Session, version: str, source: str, since: datetime, until: datetime) -> Sequence[bytes]:
    """Return what the detector saw in some images of a source, spread over the time; empty where nothing is kept."""
    seen = (
        select(Feature.features)
        .join(Image, Image.id == Feature.image_pk)
        .where(Feature.bundle_version == version, Image.source == source)
        .where(Feature.created_at >= since, Feature.created_at < until)
        # Rows in the order of a hash of theirs: the same sample each time, and no sort by time.
        .order_by(func.hashint8(Feature.image_pk))
        .limit(_SAMPLE)
    )
    return session.scalars(seen).all()


def _canary_rate(session: Session, version: str, source: str) -> dict[str, Any]:
    """Tell how many of the canary photographs the champion flags under the newest policy, whenever it judged them."""
    newest = select(func.max(Policy.version)).scalar_subquery()
    judged = select(func.count(), func.count().filter(Verdict.verdict == VerdictValue.AI_GENERATED)).where(
        Verdict.source == source,
        Verdict.bundle_version == version,
        Verdict.policy_version == newest,
        Verdict.shadow.is_(False),
        Verdict.decided_by == DecidedBy.MACHINE,
    )
    images, flagged = session.execute(judged).one()
    return {"images": images, "flagged": flagged, "rate": flagged / images if images else None}
