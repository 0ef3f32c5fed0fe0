"""All that a page of changes is put together of, read at once: a few statements a page, however long it is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select, true
from sqlalchemy.orm import Session, aliased

from worker.database.appeals import AppealCase, Appeals
from worker.database.serving_rule import served_verdict
from worker.database.session import Database
from worker.database.tables import Change, Fetch, Image, Policy, Promotion, Scan, Verdict
from worker.decisions.action import Action, recommend
from worker.decisions.policy import actions_for


@dataclass(frozen=True)
class LoadedFacts:
    """Facts as :class:`~worker.database.event_messages.Facts` has them, by id; what is erased is missing."""

    verdicts: Mapping[int, tuple[Verdict, Image]]
    scans: Mapping[int, tuple[Scan, Image]]
    fetches: Mapping[int, Fetch]
    appeals: Mapping[int, AppealCase]
    promotions: Mapping[int, Promotion]
    actions: Mapping[int, Action | None]

    def verdict(self, verdict_id: int) -> tuple[Verdict, Image] | None:
        """Return a verdict and its image."""
        return self.verdicts.get(verdict_id)

    def scan(self, scan_id: int) -> tuple[Scan, Image] | None:
        """Return a scan and its image."""
        return self.scans.get(scan_id)

    def fetch(self, fetch_id: int) -> Fetch | None:
        """Return a fetch."""
        return self.fetches.get(fetch_id)

    def appeal(self, appeal_id: int) -> AppealCase | None:
        """Return an appeal."""
        return self.appeals.get(appeal_id)

    def promotion(self, promotion_id: int) -> Promotion | None:
        """Return a promotion."""
        return self.promotions.get(promotion_id)

    def action(self, image: Image) -> Action | None:
        """Return what is recommended by what is served now; None while a verdict is on its way."""
        return self.actions[image.id]


def load_facts(database: Database, changes: Sequence[Change]) -> LoadedFacts:
    """Read what these changes name."""
    named = {name: {change.payload[name] for change in changes if name in change.payload} for name in _NAMES}
    with database.transaction() as session:
        verdicts = _with_images(session, Verdict, named["verdict_id"])
        scans = _with_images(session, Scan, named["scan_id"])
        fetches = session.scalars(select(Fetch).where(Fetch.id.in_(named["fetch_id"]))).all()
        promotions = session.scalars(select(Promotion).where(Promotion.id.in_(named["promotion_id"]))).all()
    appeals = Appeals(database).some(named["appeal_id"])
    images = [image for _, image in (*verdicts.values(), *scans.values())] + [case.image for case in appeals]
    return LoadedFacts(
        verdicts,
        scans,
        {fetch.id: fetch for fetch in fetches},
        {case.appeal.id: case for case in appeals},
        {promotion.id: promotion for promotion in promotions},
        recommend_actions(database, {image.id: image for image in images}),
    )


def _with_images(session: Session, table: Any, ids: Collection[int]) -> dict[int, Any]:
    """Return rows with their images by id; without those whose image is erased."""
    joined = select(table, Image).join(Image, table.image_pk == Image.id)
    rows = session.execute(joined.where(table.id.in_(ids), Image.erased_at.is_(None)))
    return {row.id: (row, image) for row, image in rows}


_NAMES = ("verdict_id", "scan_id", "fetch_id", "appeal_id", "promotion_id")


def recommend_actions(database: Database, images: Mapping[int, Image]) -> dict[int, Action | None]:
    """Return by image what the policy that counts recommends for what is served now; None while a verdict is coming.

    What an event tells of may be served no more, or never was: a person may have decided, a rescan may have failed
    behind a verdict that stands.
    """
    if not images:
        return {}
    newest = select(Policy).order_by(Policy.version.desc()).limit(1)
    served = served_verdict(Image.id)
    # Whatever was said of it by machines is withdrawn, so a rescan is on its way.
    other = aliased(Verdict)
    coming = exists().where(other.image_pk == Image.id, other.shadow.is_(False))
    decided = (
        select(Image.id, Verdict.verdict, Verdict.decided_by, coming)
        .select_from(Image)
        .outerjoin(served, true())
        .outerjoin(Verdict, Verdict.id == served.c.id)
        .where(Image.id.in_(images))
    )
    with database.transaction() as session:
        policy = session.scalars(newest).one()
        rows = session.execute(decided).all()
    return {
        image_pk: None
        if verdict is None and is_coming
        else recommend(actions_for(policy, images[image_pk].source), verdict, decided_by)
        for image_pk, verdict, decided_by, is_coming in rows
    }
