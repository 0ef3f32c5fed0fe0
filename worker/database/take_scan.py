"""The statements by which a worker takes a scan, or puts one back whose bundle it has yet to load."""

from collections.abc import Collection
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Interval,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningUpdate

from worker.database.clock import from_now
from worker.database.serving_rule import withdrawn_bundles
from worker.database.session import compiled
from worker.database.tables import Bundle, BundleRole, Image, Policy, Promotion, Scan, ScanKind, ScanState

_BY_CHAMPION = (ScanKind.LIVE, ScanKind.THUMBNAIL)


_READY: Any = bindparam("ready", type_=ARRAY(Text))


def take(
    scan_id: int, token: UUID, seconds: float, *, worker_id: int | None, ready: Collection[str] | None
) -> tuple[Select[Any], dict[str, Any]]:
    """Return the statement that leases a dispatched scan and reads all it needs, and its values.

    It is one round trip, and put together once, for every image pays.

    A live scan takes the champion of this moment. So does one that makes a thumbnail, though it uses none. Others name
    their bundle since they were made. Where the champion is not loaded yet, a live scan takes the bundle that served
    before it, so that a promotion holds nobody up.

    Args:
        scan_id: of the scan.
        token: of the lease.
        seconds: that the lease lasts.
        worker_id: who takes it; None where that is not known.
        ready: versions that the worker has loaded; scans that name others stay. None for all.
    """
    values: dict[str, Any] = {"scan": scan_id, "token": token, "lasts": f"{seconds} seconds", "worker": worker_id}
    return _take(any_bundle=ready is None), values if ready is None else {**values, "ready": sorted(ready)}


@cache
def _take(*, any_bundle: bool) -> Select[Any]:
    is_ready = true() if any_bundle else Scan.bundle_version == func.any(_READY)
    lasts = cast(bindparam("lasts", type_=Text()), Interval)
    taken = (
        update(Scan)
        .where(Scan.id == bindparam("scan", type_=BigInteger()), Scan.state == ScanState.DISPATCHED)
        .where(Scan.kind.in_(_BY_CHAMPION) | is_ready)
        .values(
            state=ScanState.LEASED,
            lease_token=bindparam("token", type_=Uuid()),
            worker_id=bindparam("worker", type_=BigInteger()),
            due_at=func.now() + lasts,
            bundle_version=case(
                (Scan.kind.in_(_BY_CHAMPION), _live_bundle(any_bundle=any_bundle)), else_=Scan.bundle_version
            ),
        )
        .returning(Scan.image_pk, Scan.bundle_version, Scan.kind, Scan.queue, Scan.attempts, Scan.lease_expiries)
        .cte("taken")
    )
    newest = select(func.max(Policy.version)).scalar_subquery()
    in_shadow = (Bundle.role == BundleRole.CHALLENGER) & (taken.c.kind == ScanKind.LIVE)
    return compiled(
        select(taken, Image, Policy, Bundle.version.label("challenger"), Bundle.shadow_share)
        .join(Image, Image.id == taken.c.image_pk)
        .join(Policy, Policy.version == newest)
        .outerjoin(Bundle, in_shadow)
    )


def put_back(scan_id: int, ready: Collection[str], pause: float) -> ReturningUpdate[str | None]:
    """Return the statement that queues a dispatched scan again whose bundle is not ready; it returns the version."""
    lacks = Scan.bundle_version != func.all(_texts(ready))
    waits = update(Scan).where(Scan.id == scan_id, Scan.state == ScanState.DISPATCHED, Scan.kind.not_in(_BY_CHAMPION))
    return waits.where(lacks).values(state=ScanState.QUEUED, due_at=from_now(pause)).returning(Scan.bundle_version)


def _live_bundle(*, any_bundle: bool) -> object:
    champion = select(Bundle.version).where(Bundle.role == BundleRole.CHAMPION).scalar_subquery()
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
