"""Where platforms want to be told: endpoints, their secrets, and what was sent to them."""

from base64 import b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_bytes

from sqlalchemy import Interval, cast, delete, func, literal, select, update

from worker.database.audit import Actor, record
from worker.database.session import Database
from worker.database.tables import WebhookDelivery, WebhookEndpoint

SECRET_PREFIX = "whsec_"  # noqa: S105 - Standard Webhooks' prefix, no secret.
_SECRET_BYTES = 32
# How long the former secret signs beside the new one.
ROTATION = "24 hours"


class Event(StrEnum):
    """What platforms are told of."""

    VERDICT_CREATED = "verdict.created"
    VERDICT_CHANGED = "verdict.changed"
    SCAN_REJECTED = "scan.rejected"
    SCAN_DEAD = "scan.dead"
    FETCH_FAILED = "fetch.failed"
    BUNDLE_PROMOTED = "bundle.promoted"
    APPEAL_DECIDED = "appeal.decided"


@dataclass(frozen=True)
class NewSecret:
    """An endpoint and a secret just made for it; the secret is shown this once."""

    endpoint: WebhookEndpoint
    secret: str


class WebhookEndpoints:
    """The table of endpoints. Secrets sign, so they are kept as they are, and shown only where they are made."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, actor: Actor, url: str, events: Collection[Event], description: str = "") -> NewSecret:
        """Make an endpoint; it is told of what happens from now on."""
        secret = _new_secret()
        with self._database.transaction() as session:
            named = sorted(set(events))
            endpoint = WebhookEndpoint(url=url, secret=secret, events=named, description=description)
            session.add(endpoint)
            session.flush()
            session.refresh(endpoint)
            record(session, actor, "webhook_endpoint.add", _target(endpoint.id), events=named)
        return NewSecret(endpoint, secret)

    def all(self) -> Sequence[WebhookEndpoint]:
        """Return every endpoint, oldest first."""
        with self._database.transaction() as session:
            return session.scalars(select(WebhookEndpoint).order_by(WebhookEndpoint.id)).all()

    def get(self, endpoint_id: int) -> WebhookEndpoint | None:
        """Return one endpoint."""
        with self._database.transaction() as session:
            return session.get(WebhookEndpoint, endpoint_id)

    def change(
        self,
        actor: Actor,
        endpoint_id: int,
        *,
        url: str | None = None,
        events: Collection[Event] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> WebhookEndpoint | None:
        """Change what is not None; enabling forgets former failures and sends what waits. None when it is unknown."""
        with self._database.transaction() as session:
            endpoint = session.get(WebhookEndpoint, endpoint_id, with_for_update=True)
            if endpoint is None:
                return None
            endpoint.url = endpoint.url if url is None else url
            endpoint.events = endpoint.events if events is None else sorted(set(events))
            endpoint.description = endpoint.description if description is None else description
            if enabled is not None:
                _switch(endpoint, on=enabled)
            session.flush()
            session.refresh(endpoint)
            detail = {
                "events": endpoint.events,
                "enabled": endpoint.disabled_at is None,
                "url_changed": url is not None,
            }
            record(session, actor, "webhook_endpoint.change", _target(endpoint_id), **detail)
        return endpoint

    def remove(self, actor: Actor, endpoint_id: int) -> bool:
        """Remove an endpoint with everything that waits for it; False when it is unknown."""
        with self._database.transaction() as session:
            endpoint = session.get(WebhookEndpoint, endpoint_id, with_for_update=True)
            if endpoint is None:
                return False
            session.execute(delete(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id))
            session.delete(endpoint)
            record(session, actor, "webhook_endpoint.remove", _target(endpoint_id))
        return True

    def rotate(self, actor: Actor, endpoint_id: int) -> NewSecret | None:
        """Give an endpoint a new secret; the former one signs beside it for a day. None when it is unknown."""
        secret = _new_secret()
        with self._database.transaction() as session:
            endpoint = session.get(WebhookEndpoint, endpoint_id, with_for_update=True)
            if endpoint is None:
                return None
            endpoint.previous_secret = endpoint.secret
            endpoint.previous_secret_until = func.now() + cast(literal(ROTATION), Interval)
            endpoint.secret = secret
            session.flush()
            session.refresh(endpoint)
            record(session, actor, "webhook_endpoint.rotate", _target(endpoint_id))
        return NewSecret(endpoint, secret)

    def deliveries(self, endpoint_id: int, *, limit: int, before: int | None = None) -> Sequence[WebhookDelivery]:
        """Return what was sent or waits, newest first, those with ids below ``before``."""
        deliveries = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
        if before is not None:
            deliveries = deliveries.where(WebhookDelivery.id < before)
        with self._database.transaction() as session:
            return session.scalars(deliveries.order_by(WebhookDelivery.id.desc()).limit(limit)).all()

    def redeliver(self, actor: Actor, endpoint_id: int, delivery_id: int) -> WebhookDelivery | None:
        """Send something once more, under the same id, whether it had arrived or not; None when it is unknown."""
        again = (
            update(WebhookDelivery)
            .where(WebhookDelivery.id == delivery_id, WebhookDelivery.endpoint_id == endpoint_id)
            .values(due_at=func.now(), delivered_at=None, attempts=0)
            .returning(WebhookDelivery)
        )
        with self._database.transaction() as session:
            delivery = session.scalar(again)
            if delivery is not None:
                record(session, actor, "webhook_delivery.redeliver", f"webhook_delivery:{delivery_id}")
        return delivery


def _switch(endpoint: WebhookEndpoint, *, on: bool) -> None:
    endpoint.disabled_at = None if on else endpoint.disabled_at or func.now()
    endpoint.disabled_reason = None if on else endpoint.disabled_reason or "disabled by hand"
    if on:
        endpoint.failing_since = endpoint.retry_at = None
        endpoint.failures = 0


def _new_secret() -> str:
    return SECRET_PREFIX + b64encode(token_bytes(_SECRET_BYTES)).decode()


def _target(endpoint_id: int) -> str:
    return f"webhook_endpoint:{endpoint_id}"
