"""Puts the API together: routes, errors, what surrounds a request, and the services behind it.

Importing this module does no work. ``uvicorn --factory api.main:app_from_environment``
serves it, and so does ``python -m api.main``.
"""

from datetime import UTC, datetime
from functools import partial

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from sqlalchemy import text

from api.auth import KeyRing
from api.bodies import MemoryBudget
from api.metrics import HttpMetrics
from api.problems import install
from api.readiness import Readiness
from api.request_context import RequestContext
from api.routes import events, health, images, scans
from api.services import Services, stores_over
from worker.fetch import ObjectStore, object_store
from worker.ingest.register import Register
from worker.log import configure_logging
from worker.settings import Settings
from worker.store.api_keys import ApiKeys
from worker.store.migrate import pending
from worker.store.queries import Queries
from worker.store.session import Database, connect

_DESCRIPTION = "Tells which images are AI-generated. Errors are problem details (RFC 9457) with a request id."
# Uploads of the largest size that are held in memory at once.
_UPLOADS_HELD = 16


def create_app(services: Services) -> FastAPI:
    """Return the app over these services; nothing is started."""
    app = FastAPI(title="Assay", version="1", description=_DESCRIPTION, redirect_slashes=False)
    app.state.services = services
    app.add_middleware(RequestContext, metrics=HttpMetrics(services.registry))
    install(app)
    for routes in (images, events, scans, health):
        app.include_router(routes.router)
    return app


def app_from_environment() -> FastAPI:
    """Return the app over the services that the environment names; uvicorn's factory."""
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    return create_app(services_from(settings))


def services_from(settings: Settings) -> Services:
    """Build the services; nothing is contacted yet."""
    database = connect(settings.database_url.get_secret_value())
    objects = object_store(settings)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return Services(
        queries=Queries(database),
        stores=stores_over(database, settings.artifact_bucket),
        keys=KeyRing(ApiKeys(database)),
        objects=objects,
        register=Register(
            database,
            objects,
            upload_buckets=settings.upload_buckets,
            artifact_bucket=settings.artifact_bucket,
            image_id_pattern=settings.image_id_pattern,
        ),
        readiness=readiness_of(database, objects, (settings.upload_buckets[0], settings.artifact_bucket)),
        registry=registry,
        budget=MemoryBudget(_UPLOADS_HELD * settings.max_image_bytes),
        now=partial(datetime.now, UTC),
        upload_bucket=settings.upload_buckets[0],
        artifact_bucket=settings.artifact_bucket,
        max_image_bytes=settings.max_image_bytes,
        presign_seconds=settings.presign_seconds,
    )


def readiness_of(database: Database, objects: ObjectStore, buckets: tuple[str, ...]) -> Readiness:
    """Return the checks of what the API needs."""

    def answers() -> bool:
        with database.transaction() as session:
            return bool(session.scalar(text("SELECT 1")))

    return Readiness(
        {
            "database": (answers, "PostgreSQL does not answer; check ASSAY_DATABASE_URL."),
            "migrations": (lambda: not pending(database), "Migrations of this release are missing; run them."),
            "object_store": (
                lambda: all(objects.reachable(bucket) for bucket in buckets),
                "A bucket does not answer; check ASSAY_S3_ENDPOINT_URL, its keys and the bucket names.",
            ),
        }
    )


def main() -> None:
    """Serve the API on the address that the settings name."""
    settings = Settings()
    # No log configuration of uvicorn's own, and no access log: the request context logs each request with its id.
    uvicorn.run(
        "api.main:app_from_environment",
        factory=True,
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
    )


if __name__ == "__main__":
    main()
