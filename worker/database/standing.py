"""Where images stand that are named by the platform's own ids: many at once, and what batches do with them."""

from collections.abc import Collection
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from worker.database.callbacks import CallbackTarget, call_back, place_in_line
from worker.database.served import newest_first
from worker.database.session import Database
from worker.database.tables import Image
from worker.database.webhook_endpoints import WebhookEndpoints
from worker.decisions.priority import Priority


class Standing:
    """Finds images by their ids, and lets those that wait be told of and go first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, image_ids: Collection[str]) -> dict[str, int]:
        """Return the key of the newest version of each image that is known and not erased, by the platform's id."""
        if not image_ids:
            return {}
        newest = (
            select(Image.image_id, Image.id)
            .ext(distinct_on(Image.image_id))
            .where(Image.image_id.in_(image_ids), Image.erased_at.is_(None))
            .order_by(Image.image_id, *newest_first())
        )
        with self._database.transaction() as session:
            return dict(session.execute(newest).all())

    def follow(self, image_pks: Collection[int], priority: Priority, target: CallbackTarget | None) -> None:
        """Place images in line, and let a platform be told once of what becomes of each."""
        if not image_pks:
            return
        with self._database.transaction() as session:
            place_in_line(session, image_pks, priority)
            if target is not None:
                call_back(session, image_pks, target)


def target_of(endpoints: WebhookEndpoints, origin: str, url: str) -> CallbackTarget | None:
    """Return the target for a callback at an origin of which an endpoint is registered and enabled; else None."""
    for endpoint in endpoints.all():
        if endpoint.disabled_at is None and origin_of(endpoint.url) == origin:
            return CallbackTarget(endpoint.id, url)
    return None


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, as they are compared."""
    parts = urlsplit(url)
    usual = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{parts.port or usual}"
