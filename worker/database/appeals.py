"""Appeals in Postgres: brought once a version, decided by a person who did not decide before.

Nothing that is served changes until somebody decides. A decision is a human verdict and no label: it neither trains
nor counts on the audit slice, which appeals would bias.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.reviewers import voice_of
from worker.database.served import newest_image
from worker.database.serving_rule import served_verdict
from worker.database.session import Database
from worker.database.tables import Appeal, Image, Label, LabelValue, Verdict
from worker.decisions.appeal import AppealState, outcome_of
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.errors import AssayError

# Within a day: of one person, as the platform names them, and of one key.
MOST_OF_CONTACT, MOST_OF_KEY = 20, 10_000
_DAY = timedelta(days=1)


class NothingToAppealError(AssayError):
    """There is no verdict for this image, so there is nothing to appeal against."""


class AlreadyAppealedError(AssayError):
    """An appeal against the verdict of this image is open already."""


class TooManyAppealsError(AssayError):
    """Too many appeals came within a day from this contact or this key."""


class NotOpenError(AssayError):
    """This appeal is decided already, or the image was erased."""


class SamePersonError(AssayError):
    """You decided this image before; another person decides the appeal."""


@dataclass(frozen=True)
class AppealCase:
    """An appeal with all that its decision needs.

    Attributes:
        appeal: its row.
        image: that it is about.
        verdict: that it is against.
        decision: what was decided; None while it is open.
    """

    appeal: Appeal
    image: Image
    verdict: Verdict
    decision: Verdict | None


@dataclass(frozen=True)
class AppealCounts:
    """How many appeals are open, and how many of those are past their time."""

    open: int
    overdue: int


class Appeals:
    """The table of appeals."""

    def __init__(self, database: Database, deadline: timedelta = timedelta(days=14)) -> None:
        self._database = database
        self._deadline = deadline

    def add(self, actor: Actor, image_id: str, *, reason: str, contact: str | None) -> AppealCase | None:
        """Appeal against what is served for the newest version of an image.

        Returns:
            The appeal, or None when the image is unknown or erased.

        Raises:
            NothingToAppealError: it has no verdict.
            AlreadyAppealedError: an appeal is open.
            TooManyAppealsError: of this contact or key.
        """
        with self._database.transaction() as session:
            # Held against an erasure at the same moment.
            image = session.scalar(newest_image(image_id).with_for_update(read=True))
            if image is None:
                return None
            served = served_verdict(image.id)
            verdict = session.scalar(select(Verdict).join(served, served.c.id == Verdict.id))
            if verdict is None:
                raise NothingToAppealError
            _check_pace(session, actor, contact)
            brought = {"image_pk": image.id, "verdict_id": verdict.id, "reason": reason, "contact": contact}
            new = upsert(Appeal).values(**brought, api_key_id=actor.api_key_id, due_at=func.now() + self._deadline)
            appeal = session.scalar(new.on_conflict_do_nothing().returning(Appeal))
            if appeal is None:
                raise AlreadyAppealedError
            record(session, actor, "appeal.add", f"image:{image.id}", appeal_id=appeal.id, verdict_id=verdict.id)
        return AppealCase(appeal, image, verdict, None)

    def decide(
        self, actor: Actor, appeal_id: int, value: LabelValue, *, reviewer: str, reason: str
    ) -> AppealCase | None:
        """Decide an appeal; the human verdict is served from now on, whichever way it goes.

        Returns:
            The appeal, or None when it is unknown.

        Raises:
            NotOpenError: somebody was faster, or the image is gone.
            SamePersonError: a person decided the image, and it was this one.
        """
        with self._database.transaction() as session:
            appeal = session.get(Appeal, appeal_id, with_for_update=True)
            if appeal is None:
                return None
            image = session.get(Image, appeal.image_pk, with_for_update={"read": True})
            if appeal.state != AppealState.OPEN or image is None or image.erased_at is not None:
                raise NotOpenError
            appealed = session.get_one(Verdict, appeal.verdict_id)
            voice = voice_of(session, actor, reviewer)
            if voice in _voices(session, image.id) or _is_named(session, image.id, reviewer):
                raise SamePersonError
            decision = Verdict(image_pk=image.id, verdict=value, decided_by=DecidedBy.HUMAN, source=image.source)
            decision.detectors, decision.provenance = {}, {}
            decision.reviewer, decision.reason = reviewer, reason
            session.add(decision)
            session.flush()
            appeal.state = outcome_of(VerdictValue(appealed.verdict), VerdictValue(value))
            appeal.decision_verdict_id, appeal.voice, appeal.decided_at = decision.id, voice, func.now()
            session.flush()
            session.refresh(appeal)
            session.refresh(decision)
            detail = {"appeal_id": appeal.id, "state": appeal.state, "verdict_id": decision.id}
            record(session, actor, "appeal.decide", f"image:{image.id}", **detail, reviewer=reviewer)
        return AppealCase(appeal, image, appealed, decision)

    def get(self, appeal_id: int) -> AppealCase | None:
        """Return an appeal; None when it is unknown or its image is erased."""
        return next(iter(self._cases([Appeal.id == appeal_id], limit=1)), None)

    def some(self, appeal_ids: Collection[int]) -> Sequence[AppealCase]:
        """Return appeals by their ids; without those that are unknown or whose image is erased."""
        return self._cases([Appeal.id.in_(appeal_ids)], limit=len(appeal_ids)) if appeal_ids else []

    def of(self, image_id: str, *, limit: int) -> Sequence[AppealCase] | None:
        """Return the appeals against all versions of an image, newest first; None when it is unknown or erased."""
        cases = self._cases([Image.image_id == image_id], limit=limit, newest_first=True)
        with self._database.transaction() as session:
            exists = bool(cases) or session.scalar(newest_image(image_id)) is not None
        return cases if exists else None

    def page(
        self, states: Collection[AppealState], *, limit: int, after: int | None = None, overdue: bool = False
    ) -> Sequence[AppealCase]:
        """Return appeals of these states: while any is open the oldest first, else the newest first.

        Args:
            states: where they stand.
            limit: most appeals returned.
            after: the id that the page before ended with.
            overdue: those past their time alone.
        """
        newest_first = AppealState.OPEN not in states
        conditions = [Appeal.state.in_(states)] + ([Appeal.due_at < func.now()] if overdue else [])
        if after is not None:
            conditions.append(Appeal.id < after if newest_first else Appeal.id > after)
        return self._cases(conditions, limit=limit, newest_first=newest_first)

    def counts(self) -> AppealCounts:
        """Return how many are open, and how many of those are overdue."""
        late = func.count().filter(Appeal.due_at < func.now())
        with self._database.transaction() as session:
            row = session.execute(select(func.count(), late).where(Appeal.state == AppealState.OPEN)).one()
        return AppealCounts(*row)

    def forget(self, days: int, *, most: int) -> int:
        """Forget who appealed and why, so many days after the decision; return of how many appeals."""
        old = select(Appeal.id).where(Appeal.reason.is_not(None), Appeal.decided_at < func.now() - timedelta(days=days))
        oldest = old.order_by(Appeal.decided_at).limit(most).scalar_subquery()
        with self._database.transaction() as session:
            forgotten = update(Appeal).where(Appeal.id.in_(oldest)).values(reason=None, contact=None)
            return len(session.scalars(forgotten.returning(Appeal.id)).all())

    def _cases(
        self, conditions: Sequence[ColumnElement[bool]], *, limit: int, newest_first: bool = False
    ) -> list[AppealCase]:
        order = Appeal.id.desc() if newest_first else Appeal.id.asc()
        cases = (
            select(Appeal, Image, Verdict)
            .join(Image, Image.id == Appeal.image_pk)
            .join(Verdict, Verdict.id == Appeal.verdict_id)
            .where(Image.erased_at.is_(None), *conditions)
        )
        with self._database.transaction() as session:
            rows = session.execute(cases.order_by(order).limit(limit)).all()
            ids = [appeal.decision_verdict_id for appeal, _, _ in rows if appeal.decision_verdict_id is not None]
            decisions = {one.id: one for one in session.scalars(select(Verdict).where(Verdict.id.in_(ids)))}
        return [
            AppealCase(appeal, image, verdict, decisions.get(appeal.decision_verdict_id or 0))
            for appeal, image, verdict in rows
        ]


def lapse(session: Session, image_pks: Sequence[int]) -> None:
    """Let go of all that appeals say of erased images; those that were open are decided no more."""
    of_these = update(Appeal).where(Appeal.image_pk.in_(image_pks))
    session.execute(of_these.values(reason=None, contact=None))
    ended = {"state": AppealState.LAPSED, "decided_at": func.now()}
    session.execute(of_these.where(Appeal.state == AppealState.OPEN).values(**ended))


def _check_pace(session: Session, actor: Actor, contact: str | None) -> None:
    of_key = select(func.count()).where(Appeal.api_key_id == actor.api_key_id, Appeal.created_at > func.now() - _DAY)
    if (session.scalar(of_key) or 0) >= MOST_OF_KEY:
        raise TooManyAppealsError
    if contact is not None and (session.scalar(of_key.where(Appeal.contact == contact)) or 0) >= MOST_OF_CONTACT:
        raise TooManyAppealsError


def _voices(session: Session, image_pk: int) -> set[str]:
    """Return whose words have decided an image so far, by labels and by appeals."""
    labels = select(Label.voice).where(Label.image_pk == image_pk, Label.voice.is_not(None))
    appeals = select(Appeal.voice).where(Appeal.image_pk == image_pk, Appeal.voice.is_not(None))
    return {str(voice) for voice in session.scalars(labels.union(appeals))}


def _is_named(session: Session, image_pk: int, reviewer: str) -> bool:
    """Tell whether a human verdict of the image bears a reviewer's name."""
    named = select(Verdict.id).where(Verdict.image_pk == image_pk, Verdict.decided_by == DecidedBy.HUMAN)
    return session.scalar(named.where(Verdict.reviewer == reviewer).limit(1)) is not None
