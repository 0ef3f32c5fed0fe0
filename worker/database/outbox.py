"""The outbox as the sender sees it: taken under a lease, put together, and marked by how it went.

At least once: a sender that dies with a delivery in hand leaves it to come due
again. An endpoint that fails is asked once in a while, so that it neither
holds up the others nor is flooded when it comes back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Interval, case, cast, exists, func, literal, select, true, update

from worker.database.appeals import AppealCase, Appeals
from worker.database.change_facts import recommend_actions
from worker.database.driver_statement import DriverStatement
from worker.database.session import Database
from worker.database.tables import Fetch, Image, Promotion, Scan, Verdict, WebhookDelivery, WebhookEndpoint
from worker.decisions.action import Action

_LEASE = "2 minutes"
_AT_ONCE = 20
_READY = (
    WebhookEndpoint.disabled_at.is_(None),
    WebhookEndpoint.retry_at.is_(None) | (WebhookEndpoint.retry_at <= func.now()),
)
_DUE = (
    WebhookDelivery.endpoint_id == WebhookEndpoint.id,
    WebhookDelivery.delivered_at.is_(None),
    WebhookDelivery.due_at <= func.now(),
)

_ENDPOINTS_DUE = DriverStatement(select(WebhookEndpoint.id).where(*_READY, exists().where(*_DUE)))


@dataclass(frozen=True)
class Parcel:
    """A delivery that was taken, and all that sending it needs; ``payload`` holds ids alone."""

    delivery_id: int
    endpoint_id: int
    event: str
    payload: Mapping[str, Any]
    created_at: datetime
    attempts: int
    failures: int
    url: str
    secrets: Sequence[str]


class Outbox:
    """What waits to be sent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def endpoints_due(self) -> list[int]:
        """Return the ids of endpoints that something is due for and that may be sent to now."""
        return [endpoint_id for (endpoint_id,) in self._database.fetch_rows(_ENDPOINTS_DUE)]

    def take(self, endpoint_id: int) -> list[Parcel]:
        """Take what is due for an endpoint: some if it answers, one if it does not; count the attempt."""
        few = case((WebhookEndpoint.failing_since.is_(None), _AT_ONCE), else_=1)
        waiting = (
            select(WebhookDelivery.id)
            .where(*_DUE)
            .order_by(WebhookDelivery.due_at)
            .limit(few)
            .with_for_update(skip_locked=True, of=WebhookDelivery)
            .lateral("waiting")
        )
        due = (
            select(waiting.c.id)
            .select_from(WebhookEndpoint)
            .join(waiting, true())
            .where(WebhookEndpoint.id == endpoint_id, *_READY)
            .cte("due")
            .prefix_with("MATERIALIZED")
        )
        taken = (
            update(WebhookDelivery)
            .where(WebhookDelivery.id.in_(select(due.c.id)), WebhookDelivery.endpoint_id == WebhookEndpoint.id)
            .values(attempts=WebhookDelivery.attempts + 1, attempted_at=func.now(), due_at=_in(_LEASE))
            .returning(WebhookDelivery, WebhookEndpoint, func.now() < WebhookEndpoint.previous_secret_until)
        )
        with self._database.transaction() as session:
            rows = session.execute(taken).all()
        return [_parcel(delivery, endpoint, both=bool(both)) for delivery, endpoint, both in rows]

    def delivered(self, parcel: Parcel, status: int) -> None:
        """Mark a delivery that the endpoint took."""
        done = {"delivered_at": func.now(), "due_at": None, "last_status": status, "last_error": None}
        well = {"failing_since": None, "failures": 0, "retry_at": None}
        failing = WebhookEndpoint.failing_since.is_not(None)
        with self._database.transaction() as session:
            session.execute(update(WebhookDelivery).where(WebhookDelivery.id == parcel.delivery_id).values(**done))
            session.execute(
                update(WebhookEndpoint).where(WebhookEndpoint.id == parcel.endpoint_id, failing).values(**well)
            )

    def failed(
        self,
        parcel: Parcel,
        *,
        status: int | None,
        error: str,
        retry_in: float | None,
        pause: float,
        disable: str | None,
        disable_after_days: float,
    ) -> None:
        """Mark a delivery that failed.

        Args:
            parcel: what was sent.
            status: what the endpoint answered, if it did.
            error: one line for people; no secrets.
            retry_in: seconds until this delivery is tried again, None to give it up.
            pause: seconds in which the endpoint is sent nothing.
            disable: why the endpoint gets nothing more from now on, if so.
            disable_after_days: it is disabled as well when it has failed for so long.
        """
        mark = {"last_status": status, "last_error": error[:500], "due_at": _in_seconds(retry_in)}
        since = func.coalesce(WebhookEndpoint.failing_since, func.now())
        too_long = since < func.now() - cast(literal(f"{disable_after_days} days"), Interval)
        off = true() if disable else too_long
        reason = disable or f"failed for {disable_after_days:g} days"
        endpoint = {
            "failing_since": since,
            "failures": WebhookEndpoint.failures + 1,
            "retry_at": _in_seconds(pause),
            "disabled_at": case((off, func.coalesce(WebhookEndpoint.disabled_at, func.now()))),
            "disabled_reason": case((off, func.coalesce(WebhookEndpoint.disabled_reason, reason))),
        }
        with self._database.transaction() as session:
            session.execute(update(WebhookDelivery).where(WebhookDelivery.id == parcel.delivery_id).values(**mark))
            mine = update(WebhookEndpoint).where(
                WebhookEndpoint.id == parcel.endpoint_id, WebhookEndpoint.disabled_at.is_(None)
            )
            session.execute(mine.values(**endpoint))

    def give_up(self, parcel: Parcel, why: str) -> None:
        """Mark a delivery that cannot be sent any more, such as one of an erased image."""
        with self._database.transaction() as session:
            mine = update(WebhookDelivery).where(WebhookDelivery.id == parcel.delivery_id)
            session.execute(mine.values(due_at=None, last_error=why))

    def verdict(self, verdict_id: int) -> tuple[Verdict, Image] | None:
        """Return a verdict and its image; None when the image is erased."""
        one = select(Verdict, Image).join(Image, Verdict.image_pk == Image.id).where(Verdict.id == verdict_id)
        with self._database.transaction() as session:
            row = session.execute(one.where(Image.erased_at.is_(None))).one_or_none()
        return (row[0], row[1]) if row else None

    def action(self, image: Image) -> Action | None:
        """Return what is recommended for what is served now; None while a verdict is on its way."""
        return recommend_actions(self._database, {image.id: image})[image.id]

    def scan(self, scan_id: int) -> tuple[Scan, Image] | None:
        """Return a scan and its image; None when the image is erased."""
        one = select(Scan, Image).join(Image, Scan.image_pk == Image.id).where(Scan.id == scan_id)
        with self._database.transaction() as session:
            row = session.execute(one.where(Image.erased_at.is_(None))).one_or_none()
        return (row[0], row[1]) if row else None

    def fetch(self, fetch_id: int) -> Fetch | None:
        """Return a fetch; None when it is forgotten."""
        with self._database.transaction() as session:
            return session.get(Fetch, fetch_id)

    def appeal(self, appeal_id: int) -> AppealCase | None:
        """Return an appeal; None when the image is erased."""
        return Appeals(self._database).get(appeal_id)

    def promotion(self, promotion_id: int) -> Promotion | None:
        """Return a promotion by its id."""
        with self._database.transaction() as session:
            return session.get(Promotion, promotion_id)


def _parcel(delivery: WebhookDelivery, endpoint: WebhookEndpoint, *, both: bool) -> Parcel:
    former = [endpoint.previous_secret] if both and endpoint.previous_secret else []
    return Parcel(
        delivery_id=delivery.id,
        endpoint_id=endpoint.id,
        event=delivery.event,
        payload=delivery.payload,
        created_at=delivery.created_at,
        attempts=delivery.attempts,
        failures=endpoint.failures,
        url=delivery.url or endpoint.url,
        secrets=[endpoint.secret, *former],
    )


def _in(interval: str) -> Any:
    return func.now() + cast(literal(interval), Interval)


def _in_seconds(seconds: float | None) -> Any:
    return None if seconds is None else _in(f"{seconds} seconds")
