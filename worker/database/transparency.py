"""Figures of a period for a transparency report (DSA Articles 15 and 24): counted from the tables, naming nobody.

Each figure is one statement over rows of the period, so that anybody can count it again. What is erased since still
counts: the rows stay, without what names an image or a person. Decisions alone go with their image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from worker.database.label_agreement import LabelledContents, LabelTerms
from worker.database.session import Database

Row = Mapping[str, Any]

_IN = "created_at >= :since AND created_at < :until"
_IMAGES = f"""
WITH judged AS (
  SELECT image_pk, bool_or(decided_by = 'human') AS by_person, bool_or(decided_by <> 'human') AS by_machine
  FROM verdict WHERE NOT shadow AND {_IN} GROUP BY image_pk
)
SELECT (SELECT count(*) FROM image WHERE {_IN}) AS received, count(*) AS with_verdict,
  count(*) FILTER (WHERE by_machine AND NOT by_person) AS by_machines_alone,
  count(*) FILTER (WHERE by_person) AS by_people
FROM judged
"""  # noqa: S608 # nosec B608 - parts of this file alone.
_VERDICTS = f"""
SELECT decided_by, verdict, count(*) AS count FROM verdict WHERE NOT shadow AND {_IN}
GROUP BY decided_by, verdict ORDER BY decided_by, verdict
"""  # noqa: S608 # nosec B608
# The median time from an image's arrival to its first verdict, of images that arrived within the period.
_TIME_TO_VERDICT = f"""
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM first.created_at - image.created_at))
FROM image CROSS JOIN LATERAL (
  SELECT created_at FROM verdict WHERE image_pk = image.id AND NOT shadow ORDER BY id LIMIT 1
) AS first
WHERE image.{_IN.replace("AND ", "AND image.")}
"""  # noqa: S608 # nosec B608
# As a statement of reasons says it: see `statement.py`.
_AUTOMATION = """CASE WHEN decision.machine_verdict_id IS NULL THEN 'AUTOMATED_DECISION_NOT_AUTOMATED'
  WHEN (decision.terms ->> 'reviewed_by_person')::boolean OR served.decided_by = 'human'
  THEN 'AUTOMATED_DECISION_PARTIALLY' ELSE 'AUTOMATED_DECISION_FULLY' END"""
_DECISIONS = f"""
SELECT count(*) AS count, count(decision.machine_verdict_id) AS detected,
  count(*) FILTER (WHERE {_AUTOMATION} = 'AUTOMATED_DECISION_FULLY') AS fully,
  count(*) FILTER (WHERE {_AUTOMATION} = 'AUTOMATED_DECISION_PARTIALLY') AS partially,
  count(*) FILTER (WHERE {_AUTOMATION} = 'AUTOMATED_DECISION_NOT_AUTOMATED') AS not_automated
FROM platform_decision AS decision LEFT JOIN verdict AS served ON served.id = decision.verdict_id
WHERE decision.{_IN.replace("AND ", "AND decision.")}
"""  # noqa: S608 # nosec B608
# One decision may restrict in several ways; each way counts.
_TERMS = f"""
SELECT name, value, count(*) AS count FROM platform_decision
CROSS JOIN LATERAL (
  SELECT 'restriction' AS name, jsonb_array_elements_text(
    CASE WHEN jsonb_typeof(terms -> 'decision_visibility') = 'array' THEN terms -> 'decision_visibility' ELSE '[]' END
  ) AS value
  UNION ALL SELECT 'restriction', terms ->> restriction
  FROM unnest(ARRAY['decision_monetary', 'decision_provision', 'decision_account']) AS restriction
  UNION ALL SELECT term, terms ->> term FROM unnest(ARRAY['decision_ground', 'category', 'source_type']) AS term
) AS named
WHERE value IS NOT NULL AND {_IN} GROUP BY name, value ORDER BY name, value
"""  # noqa: S608 # nosec B608
_APPEALS = """
SELECT count(*) FILTER (WHERE created_at >= :since AND created_at < :until) AS received,
  count(*) FILTER (WHERE decided AND state = 'upheld') AS reversed,
  count(*) FILTER (WHERE decided AND state = 'rejected') AS upheld,
  count(*) FILTER (WHERE decided AND state = 'lapsed') AS lapsed,
  count(*) FILTER (WHERE created_at < :until AND (decided_at IS NULL OR decided_at >= :until)) AS open_at_end,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM decided_at - created_at))
    FILTER (WHERE decided AND state IN ('upheld', 'rejected')) AS median_seconds
FROM appeal CROSS JOIN LATERAL (
  SELECT coalesce(decided_at >= :since AND decided_at < :until, false) AS decided
) AS within
"""


@dataclass(frozen=True)
class TransparencyFigures:
    """What was counted.

    Attributes:
        images: `received`, `with_verdict`, `by_machines_alone`, `by_people`.
        verdicts: counts by who decided, then by verdict.
        seconds_to_verdict: median, of images that arrived in the period; None where there are none.
        decisions: of the platform: `count`, `detected` by machines, and `fully`, `partially`, `not_automated`.
        terms: of those, counts by `restriction`, `decision_ground`, `category` and `source_type`.
        appeals: `received`, `reversed`, `upheld`, `lapsed`, `open_at_end`, `median_seconds`.
        audit: rates on the audit slice, of verdicts of the period; see :meth:`LabelledContents.rates`.
    """

    images: Row
    verdicts: Mapping[str, Mapping[str, int]]
    seconds_to_verdict: float | None
    decisions: Row
    terms: Mapping[str, Mapping[str, int]]
    appeals: Row
    audit: Mapping[str, Any]


class Transparency:
    """Counts over a period, from its first moment to just before its end."""

    def __init__(self, database: Database, terms: LabelTerms) -> None:
        self._database = database
        self._contents = LabelledContents(database, terms)

    def figures(self, since: datetime, until: datetime) -> TransparencyFigures:
        """Count what happened within a period; times are aware."""
        period = {"since": since, "until": until}
        with self._database.transaction() as session:
            # All statements see one state, so that the figures agree with each other.
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            return TransparencyFigures(
                images=_one(session, _IMAGES, period),
                verdicts=_nested(session, _VERDICTS, period),
                seconds_to_verdict=session.scalar(text(_TIME_TO_VERDICT), period),
                decisions=_one(session, _DECISIONS, period),
                terms=_nested(session, _TERMS, period),
                appeals=_one(session, _APPEALS, period),
                audit=self._contents.rates((since, until)),
            )


def _one(session: Session, statement: str, period: Row) -> Row:
    return dict(session.execute(text(statement), period).mappings().one())


def _nested(session: Session, statement: str, period: Row) -> dict[str, dict[str, int]]:
    """Lay rows of name, value and count out by name, then by value."""
    counts: dict[str, dict[str, int]] = {}
    for name, value, count in session.execute(text(statement), period):
        counts.setdefault(name, {})[value] = count
    return counts
