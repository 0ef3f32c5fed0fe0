"""Bundles that a release ships: the first becomes champion, later ones challenge it; an upgrade changes no verdict."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy.orm import Session

from worker.database.audit import Actor
from worker.database.bundles import SHIPPED, crown_shipped, register_bundle
from worker.database.challengers import OtherChallengerError, challenge
from worker.database.tables import Bundle
from worker.decisions.calibration import CalibrationFigures


def register_shipped(
    session: Session,
    *,
    version: str,
    name: str,
    card: Mapping[str, Any],
    shadow_share: float,
    figures: CalibrationFigures | None = None,
) -> str:
    """Register a shipped bundle and return the champion's version, which is this one in a fresh database.

    Where an older release of it serves, that goes on. The new one gets the gate's report that its card holds on just
    that champion, and scans in shadow unless another bundle does, or `shadow_share` is 0.
    """
    location = SHIPPED + name
    new = register_bundle(session, version=version, name=name, location=location, card=card, figures=figures)
    champion = crown_shipped(session, version)
    if not new or champion == version or session.get_one(Bundle, champion).location != location:
        return champion
    gate = card.get("gate") or {}
    if gate.get("champion") == champion:
        session.get_one(Bundle, version).gate = dict(gate)
    if shadow_share > 0:
        with suppress(OtherChallengerError):
            challenge(session, Actor("assay"), version, shadow_share, "shipped with this release")
    return champion
