"""Policies: each change is a new version, and the newest one counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from worker.database.audit import Actor, record
from worker.database.session import Database
from worker.database.tables import Image, Policy, Verdict
from worker.decisions.policy import PolicyTerms
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.provenance.findings import Provenance, provenance_of

# Verdicts that a preview judges anew, out of so many newest of all bundles: half a second of work.
_PREVIEWED = 10_000
_NEWEST = 50_000


@dataclass(frozen=True)
class JudgedImage:
    """A machine verdict as a preview needs it.

    Attributes:
        image_id: the platform's own id.
        source: where the image comes from.
        verdict: what was said.
        probability: as recorded, with ``prior_shift`` in it.
        prior_shift: of the policy that it was judged by.
        provenance: what the file says of its origin, as it was recorded then.
        gravest_frame: of an animation the highest probability among its frames, as recorded; None for still pictures.
    """

    image_id: str
    source: str
    verdict: VerdictValue
    probability: float
    prior_shift: float
    provenance: Provenance
    gravest_frame: float | None = None


class Policies:
    """The table of policies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> Policy:
        """Return the policy that counts; there is one from the first migration on."""
        with self._database.transaction() as session:
            return session.scalars(select(Policy).order_by(Policy.version.desc()).limit(1)).one()

    def get(self, version: int) -> Policy | None:
        """Return a version; None where there is none."""
        with self._database.transaction() as session:
            return session.get(Policy, version)

    def page(self, *, limit: int, before: int | None = None) -> Sequence[Policy]:
        """Return policies, newest first, those with versions below ``before``."""
        policies = select(Policy).order_by(Policy.version.desc()).limit(limit)
        if before is not None:
            policies = policies.where(Policy.version < before)
        with self._database.transaction() as session:
            return session.scalars(policies).all()

    def add(self, actor: Actor, terms: PolicyTerms) -> Policy:
        """Make a new version; scans that are leased from now on take it."""
        with self._database.transaction() as session:
            policy = Policy(**terms.columns(), created_by=actor.name)
            session.add(policy)
            session.flush()
            session.refresh(policy)
            record(session, actor, "policy.add", f"policy:{policy.version}", **terms.columns())
        return policy

    def judged_images(self, bundle_version: str) -> Sequence[JudgedImage]:
        """Return the newest machine verdicts of a bundle, out of the newest of all."""
        newest = (
            select(Verdict.id)
            .where(Verdict.shadow.is_(False))
            .order_by(Verdict.created_at.desc(), Verdict.id.desc())
            .limit(_NEWEST)
            .subquery()
        )
        verdicts = (
            select(Image.image_id, Verdict.source, Verdict.verdict, Verdict.probability, Policy.prior_shift)
            .add_columns(Verdict.provenance, Verdict.frames["gravest"]["probability"].as_float())
            .join(newest, newest.c.id == Verdict.id)
            .join(Image, Image.id == Verdict.image_pk)
            .join(Policy, Policy.version == Verdict.policy_version)
            .where(
                Verdict.decided_by != DecidedBy.HUMAN,
                Verdict.bundle_version == bundle_version,
                Verdict.probability.is_not(None),
                Image.erased_at.is_(None),
            )
            .order_by(Verdict.id.desc())
            .limit(_PREVIEWED)
        )
        with self._database.transaction() as session:
            rows = session.execute(verdicts).all()
        return [
            JudgedImage(image, source, VerdictValue(value), p or 0.0, prior, provenance_of(provenance), gravest)
            for image, source, value, p, prior, provenance, gravest in rows
        ]
