"""The statements by which a worker takes a scan, or puts one back whose bundle it has yet to load."""

from collections.abc import Collection
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Interval,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningUpdate

from worker.database.clock import from_now
from worker.database.driver_statement import DriverStatement
from worker.database.serving_rule import withdrawn_bundles
from worker.database.session import Database
from worker.database.tables import Bundle, BundleRole, Image, Policy, Promotion, Scan, ScanKind, ScanState

_BY_CHAMPION = or_(Scan.kind == ScanKind.LIVE, Scan.kind == ScanKind.THUMBNAIL)
_CHAMPION = select(Bundle.version).where(Bundle.role == BundleRole.CHAMPION)
_IS_THERE = DriverStatement(_CHAMPION)
_READY: Any = bindparam("ready", type_=ARRAY(Text))
_IMAGE = Image.__table__.c.keys()
_POLICY = Policy.__table__.c.keys()
_OF_IMAGE, _OF_BOTH = len(_IMAGE), len(_IMAGE) + len(_POLICY)


class TakenScan(NamedTuple):
    """A scan that was leased just now, and all that its worker needs."""

    image: Image
    policy: Policy
    bundle_version: str
    kind: str
    queue: str
    attempts: int
    lease_expiries: int
    challenger: str | None
    shadow_share: float | None


def take(
    database: Database,
    scan_id: int,
    token: UUID,
    seconds: float,
    *,
    worker_id: int | None,
    ready: Collection[str] | None,
) -> TakenScan | None:
    """Lease a dispatched scan and read all it needs; None where there is nothing to do, or no champion to do it.

    A live scan takes the champion of this moment. So does one that makes a thumbnail, though it uses none. Others name
    their bundle since they were made. Where the champion is not loaded yet, a live scan takes the bundle that served
    before it, so that a promotion holds nobody up.

    Args:
        database: where scans are; it is one statement, and one round trip.
        scan_id: of the scan.
        token: of the lease.
        seconds: that the lease lasts.
        worker_id: who takes it; None where that is not known.
        ready: versions that the worker has loaded; scans that name others stay. None for all.
    """
    values: dict[str, Any] = {"scan": scan_id, "token": token, "lasts": f"{seconds} seconds", "worker": worker_id}
    if ready is not None:
        values["ready"] = sorted(ready)
    rows = database.fetch_rows(_take(any_bundle=ready is None), values)
    if not rows:
        return None
    (row,) = rows
    image, policy, scan = row[:_OF_IMAGE], row[_OF_IMAGE:_OF_BOTH], row[_OF_BOTH:]
    return TakenScan(
        Image(**dict(zip(_IMAGE, image, strict=True))), Policy(**dict(zip(_POLICY, policy, strict=True))), *scan
    )


def has_champion(database: Database) -> bool:
    """Tell whether there is a bundle that judges live images."""
    return bool(database.fetch_rows(_IS_THERE))


@cache
def _take(*, any_bundle: bool) -> DriverStatement:
    is_ready = true() if any_bundle else Scan.bundle_version == func.any(_READY)
    lasts = cast(bindparam("lasts", type_=Text()), Interval)
    taken = (
        update(Scan)
        .where(Scan.id == bindparam("scan", type_=BigInteger()), Scan.state == ScanState.DISPATCHED)
        .where(case((_BY_CHAMPION, exists(_CHAMPION)), else_=is_ready))
        .values(
            state=ScanState.LEASED,
            lease_token=bindparam("token", type_=Uuid()),
            worker_id=bindparam("worker", type_=BigInteger()),
            due_at=func.now() + lasts,
            bundle_version=case((_BY_CHAMPION, _live_bundle(any_bundle=any_bundle)), else_=Scan.bundle_version),
        )
        .returning(Scan.bundle_version, Scan.kind, Scan.queue, Scan.attempts, Scan.lease_expiries, Scan.image_pk)
        .cte("taken")
    )
    newest = select(func.max(Policy.version)).scalar_subquery()
    in_shadow = (Bundle.role == BundleRole.CHALLENGER) & (taken.c.kind == ScanKind.LIVE)
    of_scan = [column for column in taken.c if column.name != "image_pk"]
    return DriverStatement(
        select(*Image.__table__.c, *Policy.__table__.c, *of_scan, Bundle.version, Bundle.shadow_share)
        .select_from(taken)
        .join(Image, Image.id == taken.c.image_pk)
        .join(Policy, Policy.version == newest)
        .outerjoin(Bundle, in_shadow)
    )


def put_back(scan_id: int, ready: Collection[str], pause: float) -> ReturningUpdate[str | None]:
    """Return the statement that queues a dispatched scan again whose bundle is not ready; it returns the version."""
    lacks = Scan.bundle_version != func.all(_texts(ready))
    waits = update(Scan).where(Scan.id == scan_id, Scan.state == ScanState.DISPATCHED, ~_BY_CHAMPION)
    return waits.where(lacks).values(state=ScanState.QUEUED, due_at=from_now(pause)).returning(Scan.bundle_version)


def _live_bundle(*, any_bundle: bool) -> object:
    champion = _CHAMPION.scalar_subquery()
    if any_bundle:
        return champion
    # The champion where it is ready, else who served last of those that are; who was rolled back serves nobody.
    served_before = (
        select(Promotion.bundle_version)
        .where(Promotion.bundle_version == func.any(_READY))
        .where(Promotion.bundle_version.not_in(withdrawn_bundles()))
        .order_by(Promotion.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return case((champion == func.any(_READY), champion), else_=func.coalesce(served_before, champion))


def _texts(values: Collection[str]) -> object:
    return literal(sorted(values), ARRAY(Text))
