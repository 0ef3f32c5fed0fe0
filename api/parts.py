"""What routes take: each name hands a route one part of the app, and nothing else."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from api import readiness, services
from api.answers.remembered import Remembered
from api.requests.bodies import MemoryBudget
from worker.database import (
    api_keys,
    audit,
    challengers,
    console_sessions,
    dead_scans,
    drift,
    duplicates,
    erasure,
    heatmap_requests,
    label_agreement,
    labels,
    policies,
    promotion,
    rescans,
    retention,
    review,
    reviewers,
    search,
    stats,
    training_runs,
    webhook_endpoints,
)
from worker.ingest.sqs import Registers


class Part:
    """A dependency: what lies at ``path`` below the app's :class:`~api.services.Services`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._get = attrgetter(path)

    async def __call__(self, request: Request) -> Any:
        """Return that part."""
        return self._get(request.app.state.services)


ApiKeys = Annotated[api_keys.ApiKeys, Depends(Part("stores.api_keys"))]
Audit = Annotated[audit.Audit, Depends(Part("stores.audit"))]
Bundles = Annotated[promotion.Bundles, Depends(Part("stores.bundles"))]
Challengers = Annotated[challengers.Challengers, Depends(Part("stores.challengers"))]
ConsoleSessions = Annotated[console_sessions.ConsoleSessions, Depends(Part("stores.console_sessions"))]
DeadScans = Annotated[dead_scans.DeadScans, Depends(Part("stores.dead_scans"))]
DriftMeasures = Annotated[drift.DriftMeasures, Depends(Part("stores.drift"))]
Duplicates = Annotated[duplicates.Duplicates, Depends(Part("stores.duplicates"))]
Erasure = Annotated[erasure.Erasure, Depends(Part("stores.erasure"))]
Figures = Annotated[stats.Figures, Depends(Part("stores.figures"))]
HeatmapRequests = Annotated[heatmap_requests.HeatmapRequests, Depends(Part("stores.heatmap_requests"))]
LabelledContents = Annotated[label_agreement.LabelledContents, Depends(Part("stores.labelled"))]
Labels = Annotated[labels.Labels, Depends(Part("stores.labels"))]
Policies = Annotated[policies.Policies, Depends(Part("stores.policies"))]
Rescans = Annotated[rescans.Rescans, Depends(Part("stores.rescans"))]
Retentions = Annotated[retention.Retentions, Depends(Part("stores.retentions"))]
Reviewers = Annotated[reviewers.Reviewers, Depends(Part("stores.reviewers"))]
ReviewQueue = Annotated[review.ReviewQueue, Depends(Part("stores.review"))]
Search = Annotated[search.Search, Depends(Part("stores.search"))]
TrainingRuns = Annotated[training_runs.TrainingRuns, Depends(Part("stores.training_runs"))]
WebhookEndpoints = Annotated[webhook_endpoints.WebhookEndpoints, Depends(Part("stores.webhook_endpoints"))]

Queries = Annotated[services.Reads, Depends(Part("queries"))]
Objects = Annotated[services.Objects, Depends(Part("objects"))]
Register = Annotated[Registers, Depends(Part("register"))]
Readiness = Annotated[readiness.Readiness, Depends(Part("readiness"))]
Registry = Annotated[CollectorRegistry, Depends(Part("registry"))]
Budget = Annotated[MemoryBudget, Depends(Part("budget"))]
# Some seconds old, so that dashboards may ask as often as they like.
Stats = Annotated[Remembered[timedelta, stats.Stats], Depends(Part("figures"))]

Now = Annotated[Callable[[], datetime], Depends(Part("now"))]
UploadBucket = Annotated[str, Depends(Part("upload_bucket"))]
ArtifactBucket = Annotated[str, Depends(Part("artifact_bucket"))]
MaxImageBytes = Annotated[int, Depends(Part("max_image_bytes"))]
PresignSeconds = Annotated[int, Depends(Part("presign_seconds"))]
ShadowMinImages = Annotated[int, Depends(Part("shadow_min_images"))]
WebhookPorts = Annotated[Collection[int], Depends(Part("webhook_ports"))]
WebhookPrivateAddresses = Annotated[bool, Depends(Part("webhook_private_addresses"))]
ServesMetrics = Annotated[bool, Depends(Part("serves_metrics"))]
ReviewReasons = Annotated[Sequence[str], Depends(Part("review_reasons"))]
