"""Registered bundles: which there are and which one serves."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.store.tables import Bundle, BundleRole

SHIPPED = "shipped:"


def register_bundle(session: Session, *, version: str, name: str, location: str, card: Mapping[str, Any]) -> bool:
    """Make the bundle known and tell whether it is new; versions are immutable, so the second time changes nothing."""
    row = {"version": version, "name": name, "location": location, "card": dict(card)}
    known = upsert(Bundle).values(**row, role=BundleRole.REGISTERED).on_conflict_do_nothing()
    return session.scalar(known.returning(Bundle.version)) is not None


def champion(session: Session) -> Bundle | None:
    """Return the bundle whose verdicts are served, if there is one yet."""
    return session.scalar(select(Bundle).where(Bundle.role == BundleRole.CHAMPION))


def crown_shipped(session: Session, version: str, location: str, *, new: bool) -> str:
    """Make a shipped bundle champion where there is none, and return the champion's version.

    A champion that came from the same place is replaced by one that was not
    known before (``new``): an upgrade ships new weights there. A worker of an
    older release that restarts beside it crowns nothing back.
    """
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext("assay.champion"))))
    serving = champion(session)
    if serving is not None and (not new or serving.location != location):
        return serving.version
    if serving is not None:
        serving.role = BundleRole.REGISTERED
        session.flush()
    bundle = session.get_one(Bundle, version)
    bundle.role = BundleRole.CHAMPION
    bundle.promoted_at = session.scalar(select(func.now()))
    return version
