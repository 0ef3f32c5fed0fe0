"""Puts the API together: routes, errors, what surrounds a request, and the services behind it.

Importing this module does no work. ``uvicorn --factory api.main:app_from_environment``
serves it, and so does ``python -m api.main``.
"""

import gc
import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from sqlalchemy import text
from starlette.middleware.cors import CORSMiddleware

from api.answers.answer_cache import AnswerCache
from api.console import routes as console
from api.errors.problems import install
from api.identity import IdentityProvider, ProviderTerms
from api.key_ring import KeyRing
from api.metrics import HttpMetrics, failed_authentications
from api.readiness import Readiness
from api.reference.openapi import show_examples
from api.requests.bodies import MemoryBudget
from api.requests.body_limits import IDLE_SECONDS, BodyLimits
from api.requests.encoded_ids import EncodedIds
from api.requests.idempotency import install as install_replays
from api.requests.pace import NoLimit, Pace, ValkeyPace
from api.requests.request_context import RequestContext
from api.routes import (
    appeals,
    audit,
    batch,
    bundles,
    challengers,
    changes,
    drift,
    errors,
    events,
    exports,
    fetches,
    health,
    image_context,
    images,
    labelled_contents,
    labels,
    policies,
    reference,
    rescans,
    retention,
    reviewers,
    scans,
    statements,
    stats,
    training_runs,
    transparency,
    verdicts,
    webhook_endpoints,
)
from api.server import serving
from api.services import FIGURES_SECONDS, Services, stores_over
from worker.database.api_keys import ApiKeys
from worker.database.label_agreement import LabelTerms
from worker.database.served import Queries
from worker.database.session import Database, connect
from worker.ingest.register import Register
from worker.log import configure_logging
from worker.objects.object_store import ObjectStore, object_store
from worker.settings import Settings

_DESCRIPTION = (
    "Tells which images are AI-generated. Errors are problem details (RFC 9457) with a request id; their `type` leads "
    "to what they mean. Keys carry scopes: `read` looks, `ingest` brings images, `ingest:priority` before those "
    "of others, `review` labels, `review:delegate` labels for registered reviewers, `review:lead` sees the whole team "
    "and sets reasons and goals, `audit` reads the audit trail. `operate` does all but review, and changes "
    "policies, bundles, webhooks and retention. `admin` does everything."
)
# Uploads of the largest size that are held in memory at once.
_UPLOADS_HELD = 16
# These count the bytes of their bodies themselves, under limits of their own.
_READ_BY_HAND = frozenset({"/v1/images", "/v1/events/s3", "/console/upload"})


def create_app(services: Services) -> FastAPI:
    """Return the app over these services; nothing is started."""
    # Swagger's page loads scripts from elsewhere; `/docs` is ours and loads none.
    app = FastAPI(
        title="Assay", version="1", description=_DESCRIPTION, redirect_slashes=False, docs_url=None, redoc_url=None
    )
    app.state.services = services
    # The last one added is the outermost.
    app.add_middleware(EncodedIds)
    app.add_middleware(BodyLimits, by_hand=_READ_BY_HAND, idle_seconds=IDLE_SECONDS)
    if services.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=services.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"],
        )
    app.add_middleware(RequestContext, metrics=HttpMetrics(services.registry))
    install(app)
    install_replays(app)
    show_examples(app)
    # Routes of images with a suffix stand before the one without.
    of_images = (labels, appeals, statements, image_context, images, batch, fetches)
    for routes in (*of_images, verdicts, scans, events, *_ABOUT_THE_WHOLE, health, console):
        app.include_router(routes.router)
    return app


_ABOUT_THE_WHOLE = (
    stats,
    labelled_contents,
    reviewers,
    policies,
    bundles,
    challengers,
    drift,
    rescans,
    training_runs,
    exports,
    transparency,
    webhook_endpoints,
    changes,
    retention,
    audit,
    errors,
    reference,
)


def app_from_environment() -> FastAPI:
    """Return the app over the services that the environment names; uvicorn's factory."""
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    app = create_app(services_from(settings))
    # It takes as long as half of the start, and the first requests need not wait for it.
    threading.Thread(target=_describe, args=(app,), name="describe", daemon=True).start()
    return app


def _describe(app: FastAPI) -> None:
    """Make the OpenAPI document, then let the garbage collector leave alone what is here for good."""
    app.openapi()
    # What is here now stays for good. Without this the collector walks through all of it every few hundred requests,
    # which takes a hundred milliseconds.
    gc.collect()
    gc.freeze()
    # And through what statements and models leave behind on their first use, a hundred times less often than by
    # default: those walks were every answer above 50 ms. Short-lived garbage goes as quickly as before.
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 1000)


def services_from(settings: Settings) -> Services:
    """Build the services; nothing is contacted yet."""
    database = connect(settings.database_url.get_secret_value())
    objects = object_store(settings)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    terms = LabelTerms(settings.label_reviewers, settings.audit_share)
    stores = stores_over(
        database,
        settings.artifact_bucket,
        terms,
        appeal_deadline=timedelta(days=settings.appeal_deadline_days),
        review_reasons=settings.review_reasons,
        session_life=timedelta(hours=settings.console_session_hours),
        actor_key=settings.actor_key.get_secret_value() if settings.actor_key else None,
    )
    return Services(
        queries=Queries(database),
        stores=stores,
        figures=AnswerCache(stores.figures, seconds=FIGURES_SECONDS),
        keys=KeyRing(ApiKeys(database)),
        pace=pace_of(settings, settings.rate_limit, "key"),
        guesses=pace_of(settings, settings.guess_rate_limit, "address"),
        failed_authentications=failed_authentications(registry),
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
        most_views=settings.most_views,
        presign_seconds=settings.presign_seconds,
        shadow_min_images=settings.shadow_min_images,
        webhook_private_addresses=settings.webhook_private_addresses,
        webhook_ports=settings.webhook_ports,
        serves_metrics=settings.api_metrics,
        cors_origins=settings.cors_origins,
        fetch_private_addresses=settings.fetch_private_addresses,
        provider=provider_of(settings),
    )


def provider_of(settings: Settings) -> IdentityProvider | None:
    """Return the identity provider that people sign in with, if there is one."""
    if settings.oidc_issuer is None:
        return None
    secret = settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None
    terms = ProviderTerms(
        settings.oidc_issuer,
        settings.oidc_client_id,
        secret,
        settings.oidc_scopes,
        settings.oidc_role_claim,
        settings.oidc_roles,
    )
    return IdentityProvider(terms)


def pace_of(settings: Settings, rate: str | None, name: str) -> Pace:
    """Return what counts under a name; raises RateLimitError for a rate that cannot be read."""
    if not rate:
        return NoLimit()
    now = partial(datetime.now, UTC)
    return ValkeyPace(rate, settings.redis_url.get_secret_value(), name=name, wall=lambda: now().timestamp())


def readiness_of(database: Database, objects: ObjectStore, buckets: tuple[str, ...]) -> Readiness:
    """Return the checks of what the API needs."""

    def answers() -> bool:
        with database.transaction() as session:
            return bool(session.scalar(text("SELECT 1")))

    def is_migrated() -> bool:
        from worker.database.migrate import pending  # noqa: PLC0415 - Alembic is a tenth of all that the API imports

        return not pending(database)

    return Readiness(
        {
            "database": (answers, "PostgreSQL does not answer; check ASSAY_DATABASE_URL."),
            "migrations": (is_migrated, "Migrations of this release are missing; run them."),
            "object_store": (
                lambda: all(objects.reachable(bucket) for bucket in buckets),
                "A bucket does not answer; check ASSAY_S3_ENDPOINT_URL, its keys and the bucket names.",
            ),
        }
    )


def main() -> None:
    """Serve the API on the address that the settings name."""
    uvicorn.Server(serving("api.main:app_from_environment", Settings())).run()


if __name__ == "__main__":
    main()
