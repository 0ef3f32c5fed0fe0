"""What follows from a rollback, in its transaction: what is told, what is queued, and the same back again.

No verdict is rewritten. The rollback's row says whose verdicts it withdraws, and the serving rule passes over these.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, DateTime, exists, func, insert, literal, select, text, true, update
from sqlalchemy.orm import Session

from worker.database.bundles import champion
from worker.database.images import BULK_QUEUE
from worker.database.serving_rule import served_verdict, withdrawn_bundles
from worker.database.tables import OPEN_STATES, Bundle, Image, Promotion, Scan, ScanKind, ScanState, Verdict

_EVER = "-infinity"
# Longer than any transaction that writes a verdict takes.
_LATELY = text("now() - interval '10 minutes'")

# Scans are taken in the order in which they are due.
_BETWEEN = timedelta(microseconds=1)

_AFFECTED = """
WITH affected AS (
  SELECT DISTINCT ON (image_pk) image_pk, verdict.id, verdict FROM verdict
  JOIN image ON image.id = image_pk AND image.erased_at IS NULL
  WHERE bundle_version = :version AND NOT shadow AND decided_by <> 'human' AND verdict.created_at >= :since
  ORDER BY image_pk, verdict.id DESC
), served AS (
  SELECT verdict.* FROM affected
  CROSS JOIN LATERAL assay_served(image_pk, 'infinity', 9223372036854775807, false) AS now_served
  JOIN verdict ON verdict.id = now_served.id
)
"""
_TELL = """
INSERT INTO change (event, payload)
SELECT 'verdict.changed', jsonb_build_object('verdict_id', served.id, 'previous', former.verdict)
FROM served {former}
WHERE served.decided_by <> 'human' AND served.verdict <> former.verdict
EXCEPT SELECT event, payload FROM change WHERE created_at = now() AND number IS NULL
"""
# Before the rollback the newest verdict of the bundle that leaves was served, where it is newer than what is now.
_TELL_WITHDRAWN = text(
    _AFFECTED
    + _TELL.format(former="JOIN affected AS former ON former.image_pk = served.image_pk AND former.id > served.id")
)
# Before the mark was lifted the newest verdict of any other bundle was served.
_TELL_LIFTED = text(
    _AFFECTED
    + _TELL.format(
        former="""CROSS JOIN LATERAL (
  SELECT verdict FROM verdict AS other
  WHERE other.image_pk = served.image_pk AND NOT other.shadow AND other.decided_by <> 'human'
    AND served.bundle_version = :version AND other.bundle_version <> :version
    AND other.bundle_version NOT IN (SELECT version FROM assay_withdrawn('infinity'))
  ORDER BY other.id DESC LIMIT 1
) AS former"""
    )
)
# What people dispute, and what somebody holds for an appeal or the audit slice, waits for its own reasons.
_REVIEW = (
    text(
        _AFFECTED  # nosec B608 - both parts stand in this file; no value goes into either
        + """
INSERT INTO review_item (image_pk, source, distance)
SELECT image_pk, source, abs(coalesce(probability, 0.5) - 0.5) FROM served
WHERE verdict = 'uncertain' AND decided_by <> 'human'
ON CONFLICT (image_pk) DO UPDATE SET source = excluded.source, distance = excluded.distance, uncertain = true
"""
    ),
    text(
        _AFFECTED  # nosec B608 - both parts stand in this file; no value goes into either
        + """
DELETE FROM review_item USING affected
WHERE review_item.image_pk = affected.image_pk AND uncertain AND disputed_at IS NULL
  AND NOT EXISTS (SELECT FROM served WHERE served.image_pk = affected.image_pk AND verdict = 'uncertain')
"""
    ),
)


def withdraw(session: Session, version: str, restored: str) -> None:
    """Do all that follows once a rollback's row is written; the caller holds the lock on the champion.

    Open rescans by the bundle that leaves are done by the restored one. The images that have nothing to serve now are
    queued for it. Webhooks tell of the others whose verdict changes.

    Args:
        session: of the rollback's transaction.
        version: of the bundle whose verdicts are withdrawn.
        restored: version of the bundle that serves again.
    """
    waiting = update(Scan).where(
        Scan.kind == ScanKind.RESCAN,
        Scan.bundle_version == version,
        Scan.state.in_((ScanState.QUEUED, ScanState.DISPATCHED)),
    )
    session.execute(waiting.values(bundle_version=restored))
    _follow(session, version, restored, _EVER)
    # Whoever writes a verdict of this bundle holds its row, as a foreign key does: those under way end before us, and
    # those that come later see the mark. So nothing falls between, and the lock is short.
    session.execute(select(Bundle).where(Bundle.version == version).with_for_update())
    _follow(session, version, restored, session.scalar(select(_LATELY)))


def lift(session: Session, version: str) -> None:
    """Tell what changes once a bundle that was withdrawn is promoted again and its verdicts are served."""
    affected = {"version": version, "since": _EVER}
    for statement in (_TELL_LIFTED, *_REVIEW):
        session.execute(statement, affected)


def queue_unserved(session: Session, restored: str, since: object = _EVER, image_pk: int | None = None) -> None:
    """Queue rescans of images whose verdicts are all withdrawn, but those that a scan is open for already.

    The newest images come first, for their platforms still wait for an answer.

    Args:
        session: of the caller's transaction.
        restored: version of the bundle that judges them.
        since: of images with such verdicts from this time on.
        image_pk: of this image alone.
    """
    since = literal(since, DateTime(timezone=True))
    withdrawn = (
        select(Verdict.image_pk)
        .distinct()
        .where(Verdict.shadow.is_(False), Verdict.bundle_version.in_(withdrawn_bundles()), Verdict.created_at >= since)
        .where(true() if image_pk is None else Verdict.image_pk == image_pk)
        .cte("withdrawn")
        .prefix_with("MATERIALIZED")
    )
    coming = exists().where(
        Scan.image_pk == Image.id,
        Scan.state.in_(OPEN_STATES),
        (Scan.kind == ScanKind.LIVE) | ((Scan.kind == ScanKind.RESCAN) & (Scan.bundle_version == restored)),
    )
    served = served_verdict(Image.id)
    # Whoever was under way at the rollback is queued after the others, but is newer than they are.
    rollback = select(func.max(Promotion.created_at)).where(Promotion.withdraws.is_not(None)).scalar_subquery()
    in_turn = func.greatest(rollback, _LATELY) + func.row_number().over(order_by=Image.id.desc()) * literal(_BETWEEN)
    unserved = (
        select(Image.id, literal(ScanKind.RESCAN.value), literal(BULK_QUEUE), literal(restored), in_turn)
        .join(withdrawn, withdrawn.c.image_pk == Image.id)
        .outerjoin(served, true())
        .where(Image.erased_at.is_(None), ~coming, served.c.id.is_(None))
    )
    session.execute(insert(Scan).from_select(["image_pk", "kind", "queue", "bundle_version", "due_at"], unserved))


def queue_if_withdrawn(session: Session, image_pk: int) -> None:
    """Queue a rescan of an image whose verdict was withdrawn while its scan was under way."""
    serving = champion(session)
    if serving is not None:
        queue_unserved(session, serving.version, image_pk=image_pk)


def _follow(session: Session, version: str, restored: str, since: object) -> None:
    for statement in (_TELL_WITHDRAWN, *_REVIEW):
        session.execute(statement, {"version": version, "since": since})
    queue_unserved(session, restored, since)


def is_withdrawn(version: str) -> ColumnElement[bool]:
    """Return the condition that a bundle's verdicts are not served now."""
    return literal(version).in_(withdrawn_bundles())
