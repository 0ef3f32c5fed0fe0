"""How reviewers fare: how many images they label, how often others say the same, and how fast they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.database.session import Database

DAYS = 7
# One voice has one word on an image, its newest. A pause of five minutes is no work on the next image.
_BY_REVIEWER = text("""
WITH own AS (
  SELECT id, image_pk, label, reviewer, coalesce(voice, lower(btrim(reviewer))) AS voice, created_at
  FROM label WHERE created_at > now() - make_interval(days => :days) AND NOT of_duplicate
    AND (CAST(:reviewer AS text) IS NULL OR reviewer = :reviewer)
), paced AS (
  SELECT reviewer,
    extract(epoch FROM created_at - lag(created_at) OVER (PARTITION BY reviewer ORDER BY created_at)) AS gap
  FROM own
), speed AS (
  SELECT reviewer, percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS seconds
  FROM paced WHERE gap < 300 GROUP BY reviewer
), word AS (
  SELECT DISTINCT ON (reviewer, image_pk) reviewer, voice, image_pk, label FROM own ORDER BY reviewer, image_pk, id DESC
), other AS (
  SELECT DISTINCT ON (image_pk, coalesce(voice, lower(btrim(label.reviewer))))
    image_pk, coalesce(voice, lower(btrim(label.reviewer))) AS voice, label
  FROM label WHERE image_pk IN (SELECT image_pk FROM word)
  ORDER BY image_pk, coalesce(voice, lower(btrim(label.reviewer))), id DESC
), agreed AS (
  SELECT word.reviewer, count(*) AS compared, count(*) FILTER (WHERE word.label = other.label) AS same
  FROM word JOIN other ON other.image_pk = word.image_pk AND other.voice <> word.voice GROUP BY word.reviewer
)
SELECT own.reviewer, count(DISTINCT own.image_pk) AS reviewed,
  count(DISTINCT own.image_pk) FILTER (WHERE own.created_at >= date_trunc('day', now(), 'UTC')) AS today,
  coalesce(max(agreed.compared), 0) AS compared, coalesce(max(agreed.same), 0) AS same, max(speed.seconds) AS seconds
FROM own LEFT JOIN agreed USING (reviewer) LEFT JOIN speed USING (reviewer)
GROUP BY own.reviewer ORDER BY reviewed DESC, own.reviewer
""")


@dataclass(frozen=True)
class ReviewerStatistics:
    """One reviewer's last seven days.

    Attributes:
        reviewer: their name.
        reviewed: images they labelled.
        today: of these since midnight UTC.
        compared: words that others have said on the same images.
        same: of these, how many say what the reviewer says.
        seconds: median time from one image to the next, pauses of five minutes left out; None below two images.
    """

    reviewer: str
    reviewed: int
    today: int
    compared: int
    same: int
    seconds: float | None

    @property
    def agreement(self) -> float | None:
        """Share of others' words that say the same, 0 to 1; None where nobody else looked."""
        return self.same / self.compared if self.compared else None


class ReviewStatistics:
    """Reads how reviewers fare from the labels they gave."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_reviewer(self, reviewer: str | None = None) -> Sequence[ReviewerStatistics]:
        """Return every reviewer's last seven days, who labelled most first; or those of one reviewer."""
        with self._database.transaction() as session:
            rows = session.execute(_BY_REVIEWER, {"days": DAYS, "reviewer": reviewer}).all()
        return [
            ReviewerStatistics(row.reviewer, row.reviewed, row.today, row.compared, row.same, row.seconds)
            for row in rows
        ]
