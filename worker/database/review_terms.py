"""What leads set for the review desk: reasons for the keys 1 to 9 and a daily goal, for a source or for all."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.audit import Actor, record
from worker.database.session import Database
from worker.database.tables import ReviewTerms

EVERYWHERE = ""
MOST_REASONS, LONGEST_REASON = 9, 200


@dataclass(frozen=True)
class DeskTerms:
    """What the desk goes by for one source.

    Attributes:
        reasons: of the keys 1 to 9, in this order; at most nine.
        daily_goal: images a person and day; None for no goal.
    """

    reasons: Sequence[str]
    daily_goal: int | None


class DeskTermsTable:
    """The table of what leads set; where they set nothing, the deployment's own reasons count."""

    def __init__(self, database: Database, usual: Sequence[str]) -> None:
        self._database = database
        self._usual = DeskTerms(tuple(usual), None)

    def all(self) -> dict[str, DeskTerms]:
        """Return what counts by source; what counts for all others stands under the empty name."""
        with self._database.transaction() as session:
            rows = session.scalars(select(ReviewTerms).order_by(ReviewTerms.source)).all()
        return {EVERYWHERE: self._usual, **{row.source: DeskTerms(row.reasons, row.daily_goal) for row in rows}}

    def put(self, actor: Actor, source: str, terms: DeskTerms) -> None:
        """Set what counts for a source, or for all where its name is empty.

        Raises:
            ValueError: there is no reason, one is too long, there are too many, or the goal is below one.
        """
        if not 0 < len(terms.reasons) <= MOST_REASONS:
            raise ValueError(f"give 1 to {MOST_REASONS} reasons")
        if any(not reason.strip() or len(reason) > LONGEST_REASON for reason in terms.reasons):
            raise ValueError(f"a reason has 1 to {LONGEST_REASON} characters")
        if terms.daily_goal is not None and not 0 < terms.daily_goal <= 100_000:  # noqa: PLR2004 - more than a day holds
            raise ValueError("a daily goal is a number from 1 to 100,000")
        values = {"reasons": list(terms.reasons), "daily_goal": terms.daily_goal, "changed_by": actor.name}
        with self._database.transaction() as session:
            new = upsert(ReviewTerms).values(source=source, **values)
            changed = {**values, "changed_at": func.now()}
            session.execute(new.on_conflict_do_update(index_elements=[ReviewTerms.source], set_=changed))
            record(session, actor, "review.terms", f"source:{source}", reasons=len(terms.reasons))

    def remove(self, actor: Actor, source: str) -> bool:
        """Let what counts for all count for a source again; False where nothing was set for it."""
        with self._database.transaction() as session:
            gone = delete(ReviewTerms).where(ReviewTerms.source == source).returning(ReviewTerms.source)
            done = session.scalar(gone) is not None
            if done:
                record(session, actor, "review.terms_removed", f"source:{source}")
        return done


def terms_for(terms: dict[str, DeskTerms], source: str) -> DeskTerms:
    """Return what counts for a source; a goal that it does not set is that of all."""
    everywhere = terms[EVERYWHERE]
    own = terms.get(source, everywhere)
    return DeskTerms(own.reasons, own.daily_goal if own.daily_goal is not None else everywhere.daily_goal)
