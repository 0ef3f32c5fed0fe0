"""Which bundle serves: promoted and rolled back in one transaction each, with who and why."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worker.errors import AssayError
from worker.store.audit import Actor, record
from worker.store.bundles import champion, crown
from worker.store.session import Database
from worker.store.tables import Bundle, Promotion


class UnknownBundleError(AssayError):
    """There is no bundle of this version."""


class AlreadyChampionError(AssayError):
    """This bundle is the champion already."""


class NothingToRollBackError(AssayError):
    """No bundle served before the champion; promote the one you want."""


class Bundles:
    """The registered bundles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Sequence[Bundle]:
        """Return every bundle, newest first; there are few."""
        with self._database.transaction() as session:
            return session.scalars(select(Bundle).order_by(Bundle.created_at.desc(), Bundle.version)).all()

    def get(self, version: str) -> Bundle | None:
        """Return one bundle."""
        with self._database.transaction() as session:
            return session.get(Bundle, version)

    def champion(self) -> Bundle | None:
        """Return the bundle whose verdicts are served, if there is one yet."""
        with self._database.transaction() as session:
            return champion(session)

    def promotions(self, *, limit: int, before: int | None = None) -> Sequence[Promotion]:
        """Return promotions and rollbacks, newest first, those with ids below ``before``."""
        promotions = select(Promotion).order_by(Promotion.id.desc()).limit(limit)
        if before is not None:
            promotions = promotions.where(Promotion.id < before)
        with self._database.transaction() as session:
            return session.scalars(promotions).all()

    def promote(self, actor: Actor, version: str, reason: str) -> Promotion:
        """Make a bundle champion; scans that are leased from now on take it.

        Raises:
            UnknownBundleError: there is none of this version.
            AlreadyChampionError: it serves already.
        """
        with self._database.transaction() as session:
            serving = _locked_champion(session)
            bundle = session.get(Bundle, version)
            if bundle is None:
                raise UnknownBundleError
            if serving is not None and serving.version == version:
                raise AlreadyChampionError
            return _promoted(session, actor, bundle, reason, rollback=False)

    def roll_back(self, actor: Actor, reason: str) -> Promotion:
        """Make champion again what the champion replaced.

        Raises:
            NothingToRollBackError: it replaced nothing that is known.
        """
        with self._database.transaction() as session:
            serving = _locked_champion(session)
            former = serving and session.scalar(
                select(Bundle)
                .join(Promotion, Promotion.previous_version == Bundle.version)
                # A rollback is no promotion: rolled back twice leads two bundles back, not to where one came from.
                .where(Promotion.bundle_version == serving.version, Promotion.rollback.is_(False))
                .order_by(Promotion.id.desc())
                .limit(1)
            )
            if not former:
                raise NothingToRollBackError
            return _promoted(session, actor, former, reason, rollback=True)


def _locked_champion(session: Session) -> Bundle | None:
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext("assay.champion"))))
    return champion(session)


def _promoted(session: Session, actor: Actor, bundle: Bundle, reason: str, *, rollback: bool) -> Promotion:
    promotion = crown(session, bundle, created_by=actor.name, reason=reason, rollback=rollback)
    session.refresh(promotion)
    action = "bundle.roll_back" if rollback else "bundle.promote"
    detail = {"previous": promotion.previous_version, "reason": reason}
    record(session, actor, action, f"bundle:{bundle.version}", **detail)
    return promotion
