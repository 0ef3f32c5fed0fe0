"""What the routes work with, handed in by whoever makes the app."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from api.auth import KeyRing
from api.bodies import MemoryBudget
from api.readiness import Readiness
from worker.fetch import ObjectVersion
from worker.ingest.sqs import Registers
from worker.store.queries import Served
from worker.store.tables import Heatmap, Image, Scan, ScanState, Verdict


class Objects(Protocol):
    """What the API needs of :class:`~worker.fetch.ObjectStore`."""

    def put(
        self, bucket: str, key: str, body: bytes, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> ObjectVersion:
        """Write an object."""

    def presigned_url(self, bucket: str, key: str, seconds: int) -> str:
        """Return an address that reads one object without credentials."""


class Reads(Protocol):
    """What the API needs of :class:`~worker.store.queries.Queries`."""

    def served(self, image_id: str, as_of: datetime | None = None) -> Served | None:
        """Return what is served for an image."""

    def history(
        self, image_id: str, *, limit: int, before: int | None = None, as_of: datetime | None = None, shadow: bool
    ) -> Sequence[tuple[Verdict, Image]] | None:
        """Return verdicts of an image, newest first."""

    def heatmap(self, image_id: str, detector: str) -> Heatmap | None:
        """Return the newest heatmap of one detector."""

    def scans(self, state: ScanState, *, limit: int, before: int | None = None) -> Sequence[tuple[Scan, Image]]:
        """Return scans of a state, newest first."""

    def scan(self, scan_id: int) -> tuple[Scan, Image] | None:
        """Return one scan with its image."""

    def replay(self, scan_id: int) -> bool:
        """Queue a dead scan again."""


@dataclass(frozen=True)
class Services:
    """The API's collaborators and limits.

    Attributes:
        queries: what is read from Postgres.
        keys: who may do what.
        objects: the object store.
        register: ingest, the same that the listener uses.
        readiness: whether all parts answer.
        registry: where metrics are kept.
        budget: memory for bodies on their way through.
        now: the clock, aware times.
        upload_bucket: where uploads through the API go.
        artifact_bucket: where heatmaps are.
        max_image_bytes: largest upload.
        presign_seconds: life of a presigned address.
    """

    queries: Reads
    keys: KeyRing
    objects: Objects
    register: Registers
    readiness: Readiness
    registry: CollectorRegistry
    budget: MemoryBudget
    now: Callable[[], datetime]
    upload_bucket: str
    artifact_bucket: str
    max_image_bytes: int
    presign_seconds: int


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


# A route's parameter of this type is the app's own services.
FromApp = Annotated[Services, Depends(_services)]
