"""Registered bundles: which there are and which one serves."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.tables import OPEN_STATES, Bundle, BundleRole, Promotion, Scan, ScanKind, ScanState
from worker.decisions.calibration import CalibrationFigures
from worker.errors import Reason

SHIPPED = "shipped:"


def register_bundle(
    session: Session,
    *,
    version: str,
    name: str,
    location: str,
    card: Mapping[str, Any],
    figures: CalibrationFigures | None = None,
) -> bool:
    """Make the bundle known and tell whether it is new; versions are immutable, so the second time changes nothing."""
    row = {"version": version, "name": name, "location": location, "card": dict(card)}
    insertion = upsert(Bundle).values(**row, role=BundleRole.REGISTERED).on_conflict_do_nothing()
    new = session.scalar(insertion.returning(Bundle.version)) is not None
    if figures is not None:
        keep_figures(session, version, figures)
    return new


def keep_figures(session: Session, version: str, figures: CalibrationFigures) -> None:
    """Write a bundle's calibration figures into its row, unless they are there; policies are previewed with them."""
    lacking = update(Bundle).where(Bundle.version == version, Bundle.figures.is_(None))
    session.execute(lacking.values(figures=figures.to_json()))


def champion(session: Session) -> Bundle | None:
    """Return the bundle whose verdicts are served, if there is one yet."""
    return session.scalar(select(Bundle).where(Bundle.role == BundleRole.CHAMPION))


def crown_shipped(session: Session, version: str) -> str:
    """Make a shipped bundle champion where there is none, and return the champion's version.

    A champion of an older release goes on: its files come with this release, and people promote its successor.
    """
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext("assay.champion"))))
    serving = champion(session)
    if serving is not None:
        return serving.version
    crown(session, session.get_one(Bundle, version), created_by="assay", reason="shipped with this release")
    return version


def crown(session: Session, bundle: Bundle, *, created_by: str, reason: str, rollback: bool = False) -> Promotion:
    """Make a bundle champion in place of the one that is; the caller holds the lock on the champion.

    A rollback withdraws the verdicts of the one that is; any other way to become champion brings a bundle's back.
    """
    serving = champion(session)
    if serving is not None:
        serving.role = BundleRole.REGISTERED
        session.flush()
    bundle.role, bundle.shadow_share = BundleRole.CHAMPION, None
    bundle.promoted_at = session.scalar(select(func.now()))
    promotion = Promotion(
        bundle_version=bundle.version,
        previous_version=serving and serving.version,
        rollback=rollback,
        withdraws=serving.version if rollback and serving else None,
        reason=reason,
        created_by=created_by,
    )
    session.add(promotion)
    session.flush()  # from here on no worker queues a scan in shadow of this bundle
    end_shadow(session, bundle.version)
    return promotion


def end_shadow(session: Session, version: str) -> None:
    """End the open scans of a bundle that challenges no longer: no verdict comes of them, and nothing is erased."""
    ended = {"state": ScanState.REJECTED, "reason": Reason.WITHDRAWN, "due_at": None, "lease_token": None}
    open_ones = (Scan.kind == ScanKind.SHADOW, Scan.bundle_version == version, Scan.state.in_(OPEN_STATES))
    session.execute(update(Scan).where(*open_ones).values(**ended, detail=None, finished_at=func.now()))
