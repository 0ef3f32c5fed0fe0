"""Challengers: one bundle scans a share of the live images in shadow, and what it would change is told.

Shadow scans are scans of their own on the bulk queue: live images neither wait
for them nor fail with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select, true
from sqlalchemy.orm import Session, aliased

from worker.database.audit import Actor, record
from worker.database.bundles import end_shadow
from worker.database.promotion import UnknownBundleError, champion_and, locked_champion
from worker.database.session import Database
from worker.database.tables import OPEN_STATES, Bundle, BundleRole, Image, Scan, ScanKind, ScanState, Verdict
from worker.decisions.shadow import Pair, flip_report
from worker.decisions.vocabulary import BY_PIXELS
from worker.errors import AssayError, Reason


class OtherChallengerError(AssayError):
    """Another bundle scans in shadow; withdraw it first."""


class NotChallengerError(AssayError):
    """This bundle does not scan in shadow."""


@dataclass(frozen=True)
class Flip:
    """An image whose verdict would change, with both verdicts."""

    image: Image
    champion: Verdict
    challenger: Verdict


class Challengers:
    """Bundles that scan in shadow: who they are, and how they differ from the champion."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def challenge(self, actor: Actor, version: str, share: float, reason: str) -> Bundle:
        """Let a bundle scan a share of the live images from now on; called again, it changes the share.

        Raises:
            UnknownBundleError, AlreadyChampionError, OtherChallengerError: it cannot.
        """
        with self._database.transaction() as session:
            return challenge(session, actor, version, share, reason)

    def withdraw(self, actor: Actor, version: str, reason: str) -> Bundle:
        """Let a challenger rest; its open scans end, for a machine that lacks its weights would try them for ever.

        Raises:
            UnknownBundleError, NotChallengerError: there is nothing to withdraw.
        """
        with self._database.transaction() as session:
            locked_champion(session)
            bundle = session.get(Bundle, version)
            if bundle is None:
                raise UnknownBundleError
            if bundle.role != BundleRole.CHALLENGER:
                raise NotChallengerError
            bundle.role, bundle.shadow_share = BundleRole.REGISTERED, None
            session.flush()  # from here on no worker queues another one
            end_shadow(session, version)
            record(session, actor, "bundle.withdraw", f"bundle:{version}", reason=reason)
        return bundle

    def report(self, version: str) -> dict[str, Any]:
        """Tell what a challenger's verdicts would change: as ``shadow.flip_report``, with what is open.

        Compared are verdicts that pixels decided, of the same image by the same policy, whoever was champion then.
        """
        pairs = _pairs(version).subquery()
        grouped = select(
            pairs.c.source,
            pairs.c.champion,
            pairs.c.challenger,
            func.avg(pairs.c.old_probability),
            func.avg(pairs.c.new_probability),
            func.count(),
        ).group_by(pairs.c.source, pairs.c.champion, pairs.c.challenger)
        counts = (
            select(Scan.state, func.count())
            .where(Scan.kind == ScanKind.SHADOW, Scan.bundle_version == version)
            .where(Scan.reason.is_distinct_from(Reason.WITHDRAWN))
            .group_by(Scan.state)
        )
        with self._database.transaction() as session:
            if session.get(Bundle, version) is None:
                raise UnknownBundleError
            report = flip_report(Pair(*row) for row in session.execute(grouped))
            states: dict[str, int] = dict(session.execute(counts).all())
        ends = {state.value: states.get(state, 0) for state in (ScanState.REJECTED, ScanState.DEAD)}
        return {**report, "open": sum(states.get(state, 0) for state in OPEN_STATES), **ends}

    def flips(self, version: str, *, limit: int, before: int | None = None) -> Sequence[Flip]:
        """Return the images whose verdict would change, newest first, by ids of the challenger's verdict."""
        statement = _flips(version, before).limit(limit)
        with self._database.transaction() as session:
            return [Flip(*row) for row in session.execute(statement)]


def challenge(session: Session, actor: Actor, version: str, share: float, reason: str) -> Bundle:
    """Do so in the caller's transaction; what it raises, it raises before it changes anything."""
    _, bundle = champion_and(session, version)
    other = session.scalar(select(Bundle.version).where(Bundle.role == BundleRole.CHALLENGER))
    if other not in {None, version}:
        raise OtherChallengerError(f"bundle {other} scans in shadow; withdraw it first")
    if bundle.role != BundleRole.CHALLENGER:
        bundle.challenged_at = session.scalar(select(func.now()))
    bundle.role, bundle.shadow_share = BundleRole.CHALLENGER, share
    record(session, actor, "bundle.challenge", f"bundle:{version}", share=share, reason=reason)
    return bundle


_new, _old = aliased(Verdict, name="challenger"), aliased(Verdict, name="champion")
_same = (
    (_old.image_pk == _new.image_pk)
    & (_old.policy_version == _new.policy_version)
    & (_old.bundle_version != _new.bundle_version)
    & _old.shadow.is_(False)
    & _old.decided_by.in_(BY_PIXELS)
)


def _pairs(version: str) -> Select[Any]:
    """Return both verdicts of each image; of several champions' the newest."""
    newest = select(_old.verdict, _old.probability).where(_same).order_by(_old.id.desc()).limit(1).lateral("served")
    return (
        select(
            _new.source,
            newest.c.verdict.label("champion"),
            _new.verdict.label("challenger"),
            newest.c.probability.label("old_probability"),
            _new.probability.label("new_probability"),
        )
        .select_from(_new)
        .join(newest, newest.c.verdict.is_not(None))
        .where(_new.bundle_version == version, _new.shadow, _new.decided_by.in_(BY_PIXELS))
    )


def _flips(version: str, before: int | None) -> Select[Image, Verdict, Verdict]:
    newest = select(_old.id).where(_same).order_by(_old.id.desc()).limit(1).correlate(_new).scalar_subquery()
    return (
        select(Image, _old, _new)
        .select_from(_new)
        .join(Image, (Image.id == _new.image_pk) & Image.erased_at.is_(None))
        .join(_old, _old.id == newest)
        .where(_new.bundle_version == version, _new.shadow, _new.decided_by.in_(BY_PIXELS))
        .where(_old.verdict != _new.verdict)
        .where(true() if before is None else _new.id < before)
        .order_by(_new.id.desc())
    )
