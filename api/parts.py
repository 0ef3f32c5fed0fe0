"""What routes take: each name hands a route one part of the app, and nothing else."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from api import authentication, identity, readiness, services
from api.answers import waiting
from api.answers.answer_cache import AnswerCache
from api.requests import pace
from api.requests.bodies import MemoryBudget
from worker.database import (
    api_keys,
    appeals,
    audit,
    bulk_labels,
    challengers,
    changes,
    console_sessions,
    dead_scans,
    drift,
    duplicates,
    erasure,
    exports,
    fetches,
    heatmap_requests,
    idempotency,
    image_context,
    label_agreement,
    label_pages,
    labels,
    people,
    platform_decisions,
    policies,
    promotion,
    rescans,
    retention,
    review,
    review_statistics,
    review_terms,
    reviewers,
    saved_views,
    search,
    sign_ins,
    standing,
    stats,
    thumbnails,
    training_runs,
    transparency,
    webhook_endpoints,
)
from worker.ingest.sqs import RegistersMany


class Part:
    """A dependency: what lies at ``path`` below the app's :class:`~api.services.Services`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._get = attrgetter(path)

    async def __call__(self, request: Request) -> Any:
        """Return that part."""
        return self._get(request.app.state.services)


ApiKeys = Annotated[api_keys.ApiKeys, Depends(Part("stores.api_keys"))]
Appeals = Annotated[appeals.Appeals, Depends(Part("stores.appeals"))]
Audit = Annotated[audit.Audit, Depends(Part("stores.audit"))]
BulkLabels = Annotated[bulk_labels.BulkLabels, Depends(Part("stores.bulk_labels"))]
Bundles = Annotated[promotion.Bundles, Depends(Part("stores.bundles"))]
Challengers = Annotated[challengers.Challengers, Depends(Part("stores.challengers"))]
Changes = Annotated[changes.Changes, Depends(Part("stores.changes"))]
ConsoleSessions = Annotated[console_sessions.ConsoleSessions, Depends(Part("stores.console_sessions"))]
DeadScans = Annotated[dead_scans.DeadScans, Depends(Part("stores.dead_scans"))]
DriftMeasures = Annotated[drift.DriftMeasures, Depends(Part("stores.drift"))]
Duplicates = Annotated[duplicates.Duplicates, Depends(Part("stores.duplicates"))]
Erasure = Annotated[erasure.Erasure, Depends(Part("stores.erasure"))]
Figures = Annotated[stats.Figures, Depends(Part("stores.figures"))]
Idempotency = Annotated[idempotency.Idempotency, Depends(Part("stores.idempotency"))]
Exports = Annotated[exports.Exports, Depends(Part("stores.exports"))]
Fetches = Annotated[fetches.Fetches, Depends(Part("stores.fetches"))]
HeatmapRequests = Annotated[heatmap_requests.HeatmapRequests, Depends(Part("stores.heatmap_requests"))]
ImageContexts = Annotated[image_context.ImageContexts, Depends(Part("stores.image_contexts"))]
LabelPages = Annotated[label_pages.LabelPages, Depends(Part("stores.label_pages"))]
LabelledContents = Annotated[label_agreement.LabelledContents, Depends(Part("stores.labelled_contents"))]
Labels = Annotated[labels.Labels, Depends(Part("stores.labels"))]
People = Annotated[people.People, Depends(Part("stores.people"))]
PlatformDecisions = Annotated[platform_decisions.PlatformDecisions, Depends(Part("stores.platform_decisions"))]
Policies = Annotated[policies.Policies, Depends(Part("stores.policies"))]
Rescans = Annotated[rescans.Rescans, Depends(Part("stores.rescans"))]
Retentions = Annotated[retention.Retentions, Depends(Part("stores.retentions"))]
Reviewers = Annotated[reviewers.Reviewers, Depends(Part("stores.reviewers"))]
ReviewStatistics = Annotated[review_statistics.ReviewStatistics, Depends(Part("stores.review_statistics"))]
ReviewTerms = Annotated[review_terms.DeskTermsTable, Depends(Part("stores.review_terms"))]
ReviewQueue = Annotated[review.ReviewQueue, Depends(Part("stores.review"))]
SavedViews = Annotated[saved_views.SavedViews, Depends(Part("stores.saved_views"))]
Search = Annotated[search.Search, Depends(Part("stores.search"))]
Standing = Annotated[standing.Standing, Depends(Part("stores.standing"))]
SignIns = Annotated[sign_ins.SignIns, Depends(Part("stores.sign_ins"))]
Thumbnails = Annotated[thumbnails.Thumbnails, Depends(Part("stores.thumbnails"))]
TrainingRuns = Annotated[training_runs.TrainingRuns, Depends(Part("stores.training_runs"))]
Transparency = Annotated[transparency.Transparency, Depends(Part("stores.transparency"))]
WebhookEndpoints = Annotated[webhook_endpoints.WebhookEndpoints, Depends(Part("stores.webhook_endpoints"))]

GuessPace = Annotated[pace.Pace, Depends(Part("guesses"))]
Authentication = Annotated[authentication.Authentication, Depends(Part("authentication"))]
Queries = Annotated[services.Reads, Depends(Part("queries"))]
Objects = Annotated[services.Objects, Depends(Part("objects"))]
Register = Annotated[RegistersMany, Depends(Part("register"))]
Readiness = Annotated[readiness.Readiness, Depends(Part("readiness"))]
Registry = Annotated[CollectorRegistry, Depends(Part("registry"))]
Budget = Annotated[MemoryBudget, Depends(Part("budget"))]
# Some seconds old, so that dashboards may ask as often as they like.
Stats = Annotated[AnswerCache[timedelta, stats.Stats], Depends(Part("figures"))]

Now = Annotated[Callable[[], datetime], Depends(Part("now"))]
UploadBucket = Annotated[str, Depends(Part("upload_bucket"))]
ArtifactBucket = Annotated[str, Depends(Part("artifact_bucket"))]
MostViews = Annotated[int, Depends(Part("most_views"))]
MaxImageBytes = Annotated[int, Depends(Part("max_image_bytes"))]
PresignSeconds = Annotated[int, Depends(Part("presign_seconds"))]
ShadowMinImages = Annotated[int, Depends(Part("shadow_min_images"))]
WebhookPorts = Annotated[Collection[int], Depends(Part("webhook_ports"))]
WebhookPrivateAddresses = Annotated[bool, Depends(Part("webhook_private_addresses"))]
FetchPrivateAddresses = Annotated[bool, Depends(Part("fetch_private_addresses"))]
ServesMetrics = Annotated[bool, Depends(Part("serves_metrics"))]
Provider = Annotated[identity.IdentityProvider | None, Depends(Part("provider"))]
Waiting = Annotated[waiting.Waiting, Depends(Part("waiting"))]
