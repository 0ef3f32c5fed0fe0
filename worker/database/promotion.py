"""Which bundle serves: promoted and rolled back in one transaction each, with who and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.bundles import champion, crown
from worker.database.session import Database
from worker.database.tables import Bundle, Promotion, Rescan, RescanState, Verdict
from worker.database.withdrawal import is_withdrawn, lift, withdraw
from worker.decisions.calibration import CalibrationFigures
from worker.decisions.shadow import obstacles
from worker.decisions.vocabulary import BY_PIXELS
from worker.errors import AssayError


class UnknownBundleError(AssayError):
    """There is no bundle of this version."""


class AlreadyChampionError(AssayError):
    """This bundle is the champion already."""


class BarredError(AssayError):
    """This bundle may not be promoted yet; the detail says why."""


class OtherChampionError(AssayError):
    """Another bundle serves by now."""


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

    def detectors(self, version: str) -> Mapping[str, Any]:
        """Return the facts of a bundle's detectors by name, as its card holds them; empty where it holds none."""
        with self._database.transaction() as session:
            facts = session.scalar(select(Bundle.card["detectors"]).where(Bundle.version == version))
        return facts if isinstance(facts, dict) else {}

    def champion(self) -> Bundle | None:
        """Return the bundle whose verdicts are served, if there is one yet."""
        with self._database.transaction() as session:
            return champion(session)

    def figures(self, version: str) -> CalibrationFigures | None:
        """Return the figures that a bundle's thresholds stand on; None where they are not known yet."""
        with self._database.transaction() as session:
            figures = session.scalar(select(Bundle.figures).where(Bundle.version == version))
        return None if figures is None else CalibrationFigures.from_json(figures)

    def promotions(self, *, limit: int, before: int | None = None) -> Sequence[Promotion]:
        """Return promotions and rollbacks, newest first, those with ids below ``before``."""
        promotions = select(Promotion).order_by(Promotion.id.desc()).limit(limit)
        if before is not None:
            promotions = promotions.where(Promotion.id < before)
        with self._database.transaction() as session:
            return session.scalars(promotions).all()

    def promote(self, actor: Actor, version: str, reason: str, *, least: int = 0, force: bool = False) -> Promotion:
        """Make a bundle champion; scans that are leased from now on take it.

        What a bundle has said that was rolled back is served again.

        Args:
            actor: who does it.
            version: of the bundle.
            reason: why; with ``force``, why without gate and shadow. Both are audited.
            least: images that it must have judged in shadow.
            force: promote what neither gate nor shadow has passed.

        Raises:
            UnknownBundleError: there is none of this version.
            AlreadyChampionError: it serves already.
            BarredError: the gate has not passed it against this champion, or its shadow is too short.
        """
        with self._database.transaction() as session:
            serving, bundle = champion_and(session, version)
            bars: list[str] = []
            if serving is not None:
                bars = obstacles(bundle.gate, images_in_shadow(session, version), least, serving.version)
            if bars and not force:
                raise BarredError(f"{'; '.join(bars)}. An admin may promote it all the same with `force` and a reason")
            comes_back = session.scalar(select(is_withdrawn(version)))
            promotion = _promoted(session, actor, bundle, reason, rollback=False, forced=bars)
            if comes_back:
                lift(session, version)
            return promotion

    def roll_back(self, actor: Actor, reason: str, *, champion: str | None = None) -> Promotion:
        """Make champion again what the champion replaced; what the one that leaves has said is served no more.

        Served is what was said before it, where anything was. The other images are queued for the restored champion.
        Rescans of history by the one that leaves end.

        Args:
            actor: who does it.
            reason: why.
            champion: version of the one that is to go; so that two who ask for the same go back one step, not two.

        Raises:
            NothingToRollBackError: it replaced nothing that is known.
            OtherChampionError: another one serves than the one named.
        """
        with self._database.transaction() as session:
            serving = locked_champion(session)
            if serving is not None and champion not in {None, serving.version}:
                raise OtherChampionError(
                    f"{serving.version} serves by now, not {champion}; roll that back if it is to go"
                )
            former = serving and session.scalar(
                select(Bundle)
                .join(Promotion, Promotion.previous_version == Bundle.version)
                # A rollback is no promotion: rolled back twice leads two bundles back, not to where one came from.
                .where(Promotion.bundle_version == serving.version, Promotion.rollback.is_(False))
                .order_by(Promotion.id.desc())
                .limit(1)
            )
            if not serving or not former:
                raise NothingToRollBackError
            _end_rescans(session, actor, serving.version)
            promotion = _promoted(session, actor, former, reason, rollback=True, forced=[])
            withdraw(session, serving.version, former.version)
            return promotion


def locked_champion(session: Session) -> Bundle | None:
    """Return the champion; until the transaction ends nobody else changes what bundles do."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext("assay.champion"))))
    return champion(session)


def champion_and(session: Session, version: str) -> tuple[Bundle | None, Bundle]:
    """Return the champion, held as by :func:`locked_champion`, and a bundle that may take its place.

    Raises:
        UnknownBundleError: there is none of this version.
        AlreadyChampionError: it serves already.
    """
    serving = locked_champion(session)
    bundle = session.get(Bundle, version)
    if bundle is None:
        raise UnknownBundleError
    if serving is not None and serving.version == version:
        raise AlreadyChampionError
    return serving, bundle


def images_in_shadow(session: Session, version: str) -> int:
    """Count the images that a bundle has judged by their pixels in shadow."""
    count = select(func.count(func.distinct(Verdict.image_pk)))
    by_pixels = Verdict.decided_by.in_(BY_PIXELS)
    return session.scalar(count.where(Verdict.bundle_version == version, Verdict.shadow, by_pixels)) or 0


def _end_rescans(session: Session, actor: Actor, version: str) -> None:
    """Let a bundle that is taken back judge no more of history; its verdicts would be served."""
    ended = (
        update(Rescan)
        .where(Rescan.bundle_version == version, Rescan.state == RescanState.RUNNING)
        .values(state=RescanState.CANCELLED, finished_at=func.now())
        .returning(Rescan.id)
    )
    for rescan_id in session.scalars(ended).all():
        record(session, actor, "rescan.cancel", f"rescan:{rescan_id}", bundle=version)


def _promoted(
    session: Session, actor: Actor, bundle: Bundle, reason: str, *, rollback: bool, forced: Sequence[str]
) -> Promotion:
    promotion = crown(session, bundle, created_by=actor.name, reason=reason, rollback=rollback)
    session.refresh(promotion)
    action = "bundle.roll_back" if rollback else "bundle.promote"
    detail = {"previous": promotion.previous_version, "reason": reason} | ({"in_spite_of": forced} if forced else {})
    record(session, actor, action, f"bundle:{bundle.version}", **detail)
    return promotion
