"""Registered bundles: which there are and which one serves."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.store.tables import Bundle, BundleRole

SHIPPED = "shipped:"


def register_bundle(session: Session, *, version: str, name: str, location: str, card: Mapping[str, Any]) -> None:
    """Make the bundle known; a version is immutable, so knowing it twice changes nothing."""
    row = {"version": version, "name": name, "location": location, "card": dict(card)}
    session.execute(upsert(Bundle).values(**row, role=BundleRole.REGISTERED).on_conflict_do_nothing())


def champion(session: Session) -> Bundle | None:
    """Return the bundle whose verdicts are served, if there is one yet."""
    return session.scalar(select(Bundle).where(Bundle.role == BundleRole.CHAMPION))


def crown_shipped(session: Session, version: str, location: str) -> str:
    """Make a shipped bundle champion where there is none, and return the champion's version.

    A champion that came from the same place is replaced as well: an upgrade
    ships new weights there, and the old ones are gone from every worker.
    """
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext("assay.champion"))))
    serving = champion(session)
    if serving is not None and (serving.version == version or serving.location != location):
        return serving.version
    if serving is not None:
        serving.role = BundleRole.REGISTERED
        session.flush()
    bundle = session.get_one(Bundle, version)
    bundle.role = BundleRole.CHAMPION
    bundle.promoted_at = session.scalar(select(func.now()))
    return version
