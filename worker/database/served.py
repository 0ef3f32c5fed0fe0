"""What the API asks of Postgres: what is served for an image, its history, and scans by state.

Every statement here is answered from an index, whatever the size of the
tables; the tests hold that with EXPLAIN. Erased images are as good as unknown.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Select, Text, and_, bindparam, case, exists, func, literal, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from worker.database.serving_rule import served_verdict, withdrawn_bundles
from worker.database.session import Database, compiled
from worker.database.tables import EVIDENCE_KINDS, Fetch, Heatmap, Image, Policy, Scan, ScanKind, ScanState, Verdict
from worker.decisions.action import Action, recommend
from worker.decisions.policy import actions_for
from worker.errors import Reason


@dataclass(frozen=True)
class ServedImage:
    """What is known of an image: its newest version, scan and verdict, with spatial evidence.

    Attributes:
        image: its newest version.
        verdict: what is served; None until there is one.
        scan: the newest; None for times past.
        heatmaps: columns of the newest of each detector.
        withdrawn: there is no verdict because a rollback withdrew all that was said of it by bundles.
        action: what the policy that counts recommends; None while a verdict is on its way.
    """

    image: Image
    verdict: Verdict | None
    scan: Scan | None
    heatmaps: Sequence[Mapping[str, str]]
    withdrawn: bool = False
    action: Action | None = None


def _recommend(image: Image, verdict: Verdict | None, policy: Policy | None) -> Action:
    outcome = (verdict.verdict, verdict.decided_by) if verdict else (None, None)
    return recommend(actions_for(policy, image.source) if policy else {}, *outcome)


class Queries:
    """Reads for the API; each is one statement, so none needs a transaction around it."""

    def __init__(self, database: Database) -> None:
        # Spares the round trips of BEGIN and COMMIT; the connections are the same.
        self._database = Database(database.engine.execution_options(isolation_level="AUTOCOMMIT"))

    def served(self, image_id: str, as_of: datetime | None = None) -> ServedImage | None:
        """Return what is served for an image, or None when it is unknown or erased.

        Args:
            image_id: the platform's own id; the version stored last counts.
            as_of: what was served at this time; the scan is then None, since
                states of the past are not kept.
        """
        with self._database.transaction() as session:
            then = {"image_id": image_id, "as_of": as_of}
            row = session.execute(SERVED_AS_OF if as_of else SERVED, then).one_or_none()
        if row is None:
            return None
        image, verdict, scan, by_detector, withdrawn, policy = row
        heatmaps = [by_detector[detector] for detector in sorted(by_detector or ())]
        scan = None if as_of else scan
        has_ended = verdict is not None or (scan is not None and scan.state in ENDED and not withdrawn)
        action = _recommend(image, verdict, policy) if has_ended else None
        return ServedImage(image, verdict, scan, heatmaps, withdrawn, action)

    def fetch(self, image_id: str) -> Fetch | None:
        """Return the newest fetch of an image that is named by its address and may not be here yet."""
        newest = select(Fetch).where(Fetch.image_id == image_id).order_by(Fetch.id.desc()).limit(1)
        with self._database.transaction() as session:
            return session.scalar(newest)

    def history(
        self,
        image_id: str,
        *,
        limit: int,
        before: int | None = None,
        as_of: datetime | None = None,
        shadow: bool,
        bundle: str | None = None,
    ) -> Sequence[tuple[Verdict, Image]] | None:
        """Return verdicts of all versions of an image with the version each is for, newest first.

        Args:
            image_id: the platform's own id.
            limit: most rows returned.
            before: only verdicts with a smaller id.
            as_of: only verdicts that were there at this time.
            shadow: whether a challenger's verdicts, never served, are included.
            bundle: only verdicts of this bundle version.

        Returns:
            At most ``limit`` rows, or None when the image is unknown or erased.
        """
        statement = history_statement(image_id, limit=limit, before=before, as_of=as_of, shadow=shadow, bundle=bundle)
        with self._database.transaction() as session:
            rows = [(verdict, image) for verdict, image in session.execute(statement)]
            exists = rows or session.scalar(select(newest_image(image_id).subquery().c.id))
        return rows if exists else None

    def withdrawn(self, as_of: datetime | None = None) -> Collection[str]:
        """Return the versions of bundles that were rolled back, so that what they have said is not served."""
        with self._database.transaction() as session:
            return set(session.scalars(withdrawn_bundles(as_of)))

    def heatmap(self, image_id: str, detector: str) -> Heatmap | None:
        """Return the newest heatmap of one detector for the newest version of an image."""
        newest = newest_image(image_id).with_only_columns(Image.id).scalar_subquery()
        with self._database.transaction() as session:
            return session.scalar(
                _heatmaps(newest).where(Heatmap.detector == detector).order_by(Heatmap.id.desc()).limit(1)
            )

    def frame(self, image_id: str) -> str | None:
        """Return where a picture of the gravest frame of an animation's newest version lies; None where there is none.

        It is that of the verdict that is served, or would be had no person decided.
        """
        newest = newest_image(image_id).subquery("newest")
        by_machine = served_verdict(newest.c.id, by_machine=True)
        key = select(Verdict.frame_key).select_from(newest).join(by_machine, true())
        with self._database.transaction() as session:
            return session.scalar(key.join(Verdict, Verdict.id == by_machine.c.id))

    def scans(self, state: ScanState, *, limit: int, before: int | None = None) -> Sequence[tuple[Scan, Image]]:
        """Return scans of a state with their images, newest first, those with ids below ``before``."""
        statement = scans_statement(state, limit=limit, before=before)
        with self._database.transaction() as session:
            return [(scan, image) for scan, image in session.execute(statement)]

    def scan(self, scan_id: int) -> tuple[Scan, Image] | None:
        """Return one scan with its image, or None when it is unknown or the image is erased."""
        statement = select(Scan, Image).join(Image, Scan.image_pk == Image.id).where(Scan.id == scan_id, _not_erased)
        with self._database.transaction() as session:
            row = session.execute(statement).one_or_none()
        return (row[0], row[1]) if row else None


ENDED = frozenset({ScanState.COMPLETED, ScanState.REJECTED, ScanState.DEAD})
QUIETLY_REJECTED = (Scan.kind == ScanKind.THUMBNAIL) | Scan.reason.is_not_distinct_from(Reason.WITHDRAWN)
_not_erased = Image.erased_at.is_(None)
_SHOWN_OF_A_HEATMAP = ("detector", "method", "layer", "bundle_version", "key", "raw_key")


def history_statement(
    image_id: str,
    *,
    limit: int,
    before: int | None,
    as_of: datetime | None,
    shadow: bool,
    bundle: str | None = None,
) -> Select[Verdict, Image]:
    """Return the statement behind a page of history.

    The limit stands inside the lateral join too: without it the planner may
    walk the whole verdict table backwards to spare itself a sort.
    """
    of_one_version = (
        select(Verdict)
        .where(Verdict.image_pk == Image.id, _by(Verdict.created_at, as_of))
        .where(true() if shadow else Verdict.shadow.is_(False))
        .where(true() if before is None else Verdict.id < before)
        .where(true() if bundle is None else Verdict.bundle_version == bundle)
        .order_by(Verdict.id.desc())
        .limit(limit)
    )
    verdict = aliased(Verdict, of_one_version.lateral())
    return (
        select(verdict, Image)
        .select_from(Image)
        .join(verdict, true())
        .where(Image.image_id == image_id, _not_erased)
        .order_by(verdict.id.desc())
        .limit(limit)
    )


def scans_statement(state: ScanState, *, limit: int, before: int | None) -> Select[Scan, Image]:
    """Return the statement behind a page of scans.

    Files of which no thumbnail can be made are nobody's concern, nor is what a withdrawn challenger has not judged.
    """
    concerns = true() if state != ScanState.REJECTED else ~QUIETLY_REJECTED
    return (
        select(Scan, Image)
        .join(Image, and_(Scan.image_pk == Image.id, _not_erased))
        .where(Scan.state == state, concerns)
        .where(true() if before is None else Scan.id < before)
        .order_by(Scan.id.desc())
        .limit(limit)
    )


def newest_image(image_id: Any, as_of: Any = None) -> Select[Image]:
    """Return the statement for the version of an image that counts: of those not erased the newest that is real."""
    stored_at: ColumnElement[datetime] = Image.stored_at.expression
    if as_of is not None:
        # A state that came back later counts from its first coming until then.
        stored_at = case((Image.stored_at > as_of, Image.created_at), else_=Image.stored_at)
    return (
        select(Image)
        .where(Image.image_id == image_id, _not_erased, _by(Image.created_at, as_of))
        .order_by(*newest_first(stored_at))
        .limit(1)
    )


def newest_first(stored_at: ColumnElement[datetime] | None = None) -> tuple[ColumnElement[Any], ...]:
    """Return the order of an image's versions: what the store has shown before what events claim, the newest first."""
    return Image.confirmed.desc(), (Image.stored_at if stored_at is None else stored_at).desc(), Image.id.desc()


def _heatmaps(image_pk: Any, as_of: Any = None) -> Select[Heatmap]:
    """Return all heatmaps of an image but those of verdicts that are never served; a person's decision hides none."""
    return (
        select(Heatmap)
        .join(Verdict, Heatmap.verdict_id == Verdict.id)
        .where(Verdict.image_pk == image_pk, Verdict.shadow.is_(False), _by(Heatmap.created_at, as_of))
        .where(Heatmap.bundle_version.not_in(withdrawn_bundles(as_of)))
    )


def _by(created_at: Any, as_of: Any) -> ColumnElement[bool]:
    return true() if as_of is None else created_at <= as_of


def _served(as_of: Any = None) -> Select[Any]:
    image = aliased(Image, newest_image(bindparam("image_id", type_=Text), as_of).subquery())
    served = served_verdict(image.id, at=as_of)
    scans = (
        select(Scan)
        .where(Scan.image_pk == image.id, Scan.kind.not_in([ScanKind.SHADOW, *EVIDENCE_KINDS]))
        .order_by(Scan.id.desc())
        .limit(1)
    )
    shown = tuple(getattr(Heatmap, name) for name in _SHOWN_OF_A_HEATMAP)
    heatmap = func.jsonb_build_object(*(part for column in shown for part in (literal(column.key, Text), column)))
    # Of two objects under one key jsonb keeps the later one: the newest heatmap of each detector.
    newest_of_each = func.jsonb_object_agg(Heatmap.detector, aggregate_order_by(heatmap, Heatmap.id))
    heatmaps = _heatmaps(image.id, as_of).with_only_columns(newest_of_each.label("by_detector")).lateral()
    verdict, scan = aliased(Verdict), aliased(Scan, scans.lateral())
    was_judged = exists().where(Verdict.image_pk == image.id, Verdict.shadow.is_(False), _by(Verdict.created_at, as_of))
    withdrawn = and_(served.c.id.is_(None), was_judged)
    newest = select(Policy).where(_by(Policy.created_at, as_of)).order_by(Policy.version.desc()).limit(1)
    policy = aliased(Policy, newest.subquery())
    return (
        select(image, verdict, scan, heatmaps.c.by_detector, withdrawn.label("withdrawn"), policy)
        .select_from(image)
        .outerjoin(served, true())
        .outerjoin(verdict, verdict.id == served.c.id)
        .outerjoin(scan, true())
        .outerjoin(heatmaps, true())
        .outerjoin(policy, true())
    )


# The statements behind every latest-verdict request, built once: building takes longer than Postgres takes to answer.
SERVED = compiled(_served())
SERVED_AS_OF = compiled(_served(bindparam("as_of", type_=DateTime(timezone=True))))
