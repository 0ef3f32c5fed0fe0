"""All parts of the app, handed in by whoever makes it; routes take theirs by :mod:`api.parts`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter

from api.answers.answer_cache import AnswerCache
from api.answers.waiting import Waiting
from api.authentication import Authentication
from api.identity import IdentityProvider
from api.key_ring import KeyRing
from api.readiness import Readiness
from api.requests.bodies import MemoryBudget
from api.requests.pace import Pace
from worker.database.api_keys import ApiKeys
from worker.database.appeals import Appeals
from worker.database.audit import Audit
from worker.database.bulk_labels import BulkLabels
from worker.database.challengers import Challengers
from worker.database.changes import Changes
from worker.database.console_sessions import LIFE, ConsoleSessions
from worker.database.dead_scans import DeadScans
from worker.database.drift import DriftMeasures
from worker.database.duplicates import Duplicates
from worker.database.erasure import Erasure
from worker.database.exports import Exports
from worker.database.fetches import Fetches
from worker.database.heatmap_requests import HeatmapRequests
from worker.database.idempotency import Idempotency
from worker.database.image_context import ImageContexts
from worker.database.label_agreement import LabelledContents, LabelTerms
from worker.database.label_pages import LabelPages
from worker.database.labels import Labels
from worker.database.people import People
from worker.database.platform_decisions import PlatformDecisions
from worker.database.policies import Policies
from worker.database.promotion import Bundles
from worker.database.rescans import Rescans
from worker.database.retention import Retentions
from worker.database.review import ReviewQueue
from worker.database.review_statistics import ReviewStatistics
from worker.database.review_terms import DeskTermsTable
from worker.database.reviewers import Reviewers
from worker.database.saved_views import SavedViews
from worker.database.search import Search
from worker.database.served import ServedImage
from worker.database.session import Database
from worker.database.sign_ins import SignIns
from worker.database.standing import Standing
from worker.database.stats import Figures, Stats
from worker.database.tables import Fetch, Heatmap, Image, Scan, ScanState, Verdict
from worker.database.thumbnails import Thumbnails
from worker.database.training_runs import TrainingRuns
from worker.database.transparency import Transparency
from worker.database.webhook_endpoints import WebhookEndpoints
from worker.ingest.sqs import RegistersMany
from worker.objects.versions import ObjectHead, ObjectVersion


class Objects(Protocol):
    """What the API needs of :class:`~worker.objects.object_store.ObjectStore`."""

    def put(
        self, bucket: str, key: str, body: bytes, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> ObjectVersion:
        """Write an object."""

    def head(self, bucket: str, key: str, version_id: str | None) -> ObjectHead | None:
        """Return what is known of an object, None where it is not there."""

    def fetch(self, bucket: str, key: str, version: str, *, versioned: bool, max_bytes: int) -> bytes:
        """Return the bytes of exactly this version of an object."""

    def read(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return the bytes of an object as it is now."""

    def presigned_url(self, bucket: str, key: str, seconds: int) -> str:
        """Return an address that reads one object without credentials."""


class Reads(Protocol):
    """What the API needs of :class:`~worker.database.served.Queries`."""

    def served(self, image_id: str, as_of: datetime | None = None) -> ServedImage | None:
        """Return what is served for an image."""

    def fetch(self, image_id: str) -> Fetch | None:
        """Return the newest fetch of an image."""

    def history(
        self,
        image_id: str,
        *,
        limit: int,
        before: int | None = None,
        as_of: datetime | None = None,
        shadow: bool,
        bundle: str | None = None,
    ) -> Sequence[tuple[Verdict, Image]] | None:
        """Return verdicts of an image, newest first."""

    def withdrawn(self, as_of: datetime | None = None) -> Collection[str]:
        """Return the versions of bundles that were rolled back, so that what they have said is not served."""

    def heatmap(self, image_id: str, detector: str) -> Heatmap | None:
        """Return the newest heatmap of one detector."""

    def frame(self, image_id: str) -> str | None:
        """Return where a picture of an animation's gravest frame lies in the artifact bucket."""

    def scans(self, state: ScanState, *, limit: int, before: int | None = None) -> Sequence[tuple[Scan, Image]]:
        """Return scans of a state, newest first."""

    def scan(self, scan_id: int) -> tuple[Scan, Image] | None:
        """Return one scan with its image."""


@dataclass(frozen=True)
class Stores:
    """The nouns that routes change or list, each with its table."""

    api_keys: ApiKeys
    appeals: Appeals
    audit: Audit
    bulk_labels: BulkLabels
    bundles: Bundles
    challengers: Challengers
    changes: Changes
    console_sessions: ConsoleSessions
    drift: DriftMeasures
    duplicates: Duplicates
    erasure: Erasure
    exports: Exports
    fetches: Fetches
    figures: Figures
    dead_scans: DeadScans
    heatmap_requests: HeatmapRequests
    idempotency: Idempotency
    image_contexts: ImageContexts
    label_pages: LabelPages
    labelled_contents: LabelledContents
    labels: Labels
    people: People
    platform_decisions: PlatformDecisions
    policies: Policies
    rescans: Rescans
    retentions: Retentions
    reviewers: Reviewers
    review: ReviewQueue
    review_statistics: ReviewStatistics
    review_terms: DeskTermsTable
    saved_views: SavedViews
    search: Search
    standing: Standing
    sign_ins: SignIns
    thumbnails: Thumbnails
    training_runs: TrainingRuns
    transparency: Transparency
    webhook_endpoints: WebhookEndpoints


# Dashboards ask every second or two; the figures need not be younger.
FIGURES_SECONDS = 5.0


def stores_over(
    database: Database,
    artifact_bucket: str,
    label_terms: LabelTerms | None = None,
    *,
    appeal_deadline: timedelta = timedelta(days=14),
    review_reasons: Sequence[str] = ("Looks generated",),
    session_life: timedelta = LIFE,
    actor_key: str | None = None,
) -> Stores:
    """Return the stores over a database; nothing is contacted."""
    return Stores(
        api_keys=ApiKeys(database),
        appeals=Appeals(database, appeal_deadline),
        audit=Audit(database),
        bulk_labels=BulkLabels(database),
        bundles=Bundles(database),
        challengers=Challengers(database),
        changes=Changes(database),
        console_sessions=ConsoleSessions(database, session_life),
        drift=DriftMeasures(database),
        duplicates=Duplicates(database),
        erasure=Erasure(database, artifact_bucket),
        exports=Exports(database, artifact_bucket),
        fetches=Fetches(database),
        figures=Figures(database),
        dead_scans=DeadScans(database),
        heatmap_requests=HeatmapRequests(database),
        idempotency=Idempotency(database),
        image_contexts=ImageContexts(database, actor_key),
        label_pages=LabelPages(database, label_terms or LabelTerms()),
        labelled_contents=LabelledContents(database, label_terms or LabelTerms()),
        labels=Labels(database),
        people=People(database),
        platform_decisions=PlatformDecisions(database),
        policies=Policies(database),
        rescans=Rescans(database),
        reviewers=Reviewers(database),
        retentions=Retentions(database, artifact_bucket),
        review=ReviewQueue(database, label_terms),
        review_statistics=ReviewStatistics(database),
        review_terms=DeskTermsTable(database, review_reasons),
        saved_views=SavedViews(database),
        search=Search(database),
        standing=Standing(database),
        sign_ins=SignIns(database),
        thumbnails=Thumbnails(database),
        training_runs=TrainingRuns(database),
        transparency=Transparency(database, label_terms or LabelTerms()),
        webhook_endpoints=WebhookEndpoints(database),
    )


@dataclass(frozen=True)
class Services:
    """The API's collaborators and limits.

    Attributes:
        queries: what is read from Postgres most.
        stores: what else is read or changed there.
        figures: figures of the whole, some seconds old.
        keys: who may do what.
        pace: how often each key.
        guesses: how often an address may show a wrong key.
        failed_authentications: counts wrong keys.
        objects: the object store.
        register: ingest, the same that the listener uses.
        readiness: whether all parts answer.
        registry: where metrics are kept.
        budget: memory for bodies on their way through.
        now: the clock, aware times.
        upload_bucket: where uploads through the API go.
        artifact_bucket: where heatmaps are.
        max_image_bytes: largest upload.
        most_views: of an image that an encoder detector looks at, 0 for as many as it was made for.
        presign_seconds: life of a presigned address.
        shadow_min_images: that a bundle must have judged in shadow before it is promoted.
        webhook_ports: that webhooks may be sent to; any where there are none.
        fetch_private_addresses: whether files may be fetched from where only we can go.
        webhook_private_addresses: whether webhooks may go where only we can.
        serves_metrics: whether `/metrics` answers.
        cors_origins: whose pages may call us from a browser.
        provider: the identity provider that people sign in with; None for keys alone.
        waiting: holds back answers for those who wait for a verdict.
    """

    queries: Reads
    stores: Stores
    figures: AnswerCache[timedelta, Stats]
    keys: KeyRing
    pace: Pace
    guesses: Pace
    failed_authentications: Counter
    objects: Objects
    register: RegistersMany
    readiness: Readiness
    registry: CollectorRegistry
    budget: MemoryBudget
    now: Callable[[], datetime]
    upload_bucket: str
    artifact_bucket: str
    max_image_bytes: int
    presign_seconds: int
    shadow_min_images: int
    webhook_private_addresses: bool
    webhook_ports: Collection[int]
    serves_metrics: bool
    cors_origins: Sequence[str]
    most_views: int = 0
    fetch_private_addresses: bool = False
    provider: IdentityProvider | None = None
    waiting: Waiting = field(default_factory=Waiting)

    @cached_property
    def authentication(self) -> Authentication:
        """What checks keys, made once: every request takes it."""
        return Authentication(self.keys, self.pace, self.guesses, self.failed_authentications, self.stores.audit)
