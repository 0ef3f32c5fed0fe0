"""Fakes of what the API works with, for tests: they keep what they are given and fail when told to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from api.answers.answer_cache import AnswerCache
from api.key_ring import KeyRing
from api.metrics import failed_authentications
from api.readiness import Readiness
from api.requests.bodies import MemoryBudget
from api.requests.pace import NoLimit
from api.services import Services, stores_over
from worker.database.api_keys import Principal, Scope
from worker.database.audit import Actor, Audit
from worker.database.served import ServedImage
from worker.database.session import connect
from worker.database.tables import Fetch, Heatmap, Image, Scan, ScanKind, ScanState, Verdict
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.ingest.events import ObjectCreated
from worker.ingest.register import Intake, Registration
from worker.objects.versions import ObjectHead, ObjectVersion

_NOWHERE = "postgresql+psycopg://assay@127.0.0.1:9/assay"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self.seconds


class Failing:
    """Something that fails on demand."""

    failure: Exception | None = None

    def fail_if_told(self) -> None:
        """Raise what was set as ``failure``."""
        if self.failure:
            raise self.failure


class FakeKeys(Failing):
    """Keys named after their scope: ``assay_read`` has the scope ``read``, and so on."""

    def __init__(self) -> None:
        self.known = {
            f"assay_{scope}": Principal(number, scope, frozenset({scope})) for number, scope in enumerate(Scope)
        }
        self.asked = 0

    def verify(self, key: str) -> Principal | None:
        """Return whose key this is."""
        self.asked += 1
        self.fail_if_told()
        return self.known.get(key)


@dataclass(frozen=True)
class StoredObject:
    """An object as it was put."""

    body: bytes
    content_type: str
    metadata: Mapping[str, str]


class FakeObjects(Failing):
    """An object store in a dictionary."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], StoredObject] = {}

    def put(
        self, bucket: str, key: str, body: bytes, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> ObjectVersion:
        """Keep an object."""
        self.fail_if_told()
        self.stored[bucket, key] = StoredObject(body, content_type, metadata or {})
        return ObjectVersion(None, "etag-of-it")

    def head(self, bucket: str, key: str, version_id: str | None) -> ObjectHead | None:
        """Return what is known of an object."""
        del version_id
        stored = self.stored.get((bucket, key))
        if stored is None:
            return None
        return ObjectHead(ObjectVersion(None, "etag-of-it"), len(stored.body), stored.metadata, NOW)

    def fetch(self, bucket: str, key: str, version: str, *, versioned: bool, max_bytes: int) -> bytes:
        """Return an object's bytes; there is one version."""
        del version, versioned
        return self.read(bucket, key, max_bytes=max_bytes)

    def read(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes."""
        self.fail_if_told()
        return self.stored[bucket, key].body[:max_bytes]

    def presigned_url(self, bucket: str, key: str, seconds: int) -> str:
        """Return an address that names everything that went into it."""
        return f"https://store.example/{bucket}/{key}?expires={seconds}"


class FakeRegister(Failing):
    """Ingest that registers what lies in ``uploads`` and refuses other buckets."""

    def __init__(self, objects: FakeObjects) -> None:
        self._objects = objects
        self.seen: list[ObjectCreated] = []
        self.created = True

    def __call__(self, created: ObjectCreated) -> Registration | None:
        """Register an object."""
        self.fail_if_told()
        if created.bucket != "uploads":
            return None
        self.seen.append(created)
        key = created.keys[0]
        stored = self._objects.stored.get((created.bucket, key))
        image_id = stored.metadata["image-id"] if stored else key
        return Registration(7, image_id, 8, created.version_id or created.etag or "", key, "uploads", self.created)

    def take_many(self, events: Sequence[ObjectCreated]) -> Intake:
        """Register many objects."""
        registered = [one for one in map(self, events) if one is not None]
        return Intake(registered, refused=len(events) - len(registered), missing=0)


class FakeAudit(Audit):
    """A trail in a list."""

    def __init__(self) -> None:
        self.noted: list[tuple[Actor, str, str]] = []

    def note(self, actor: Actor, action: str, target: str, **detail: Any) -> None:  # noqa: ARG002 - the trail's own.
        """Write down a change."""
        self.noted.append((actor, action, target))


class FakeQueries(Failing):
    """Reads that answer from lists."""

    def __init__(self) -> None:
        self.images: dict[str, ServedImage] = {}
        self.verdicts: dict[str, list[tuple[Verdict, Image]]] = {}
        self.heatmaps: dict[tuple[str, str], Heatmap] = {}
        self.known_scans: dict[int, tuple[Scan, Image]] = {}
        self.withdrawn_bundles: set[str] = set()
        self.fetches: dict[str, Fetch] = {}
        self.asked: list[Any] = []

    def served(self, image_id: str, as_of: datetime | None = None) -> ServedImage | None:
        """Return what is served for an image."""
        self.fail_if_told()
        self.asked.append(as_of)
        return self.images.get(image_id)

    def fetch(self, image_id: str) -> Fetch | None:
        """Return the newest fetch of an image."""
        return self.fetches.get(image_id)

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
        self.fail_if_told()
        self.asked.append((as_of, shadow, bundle))
        rows = self.verdicts.get(image_id)
        return None if rows is None else [row for row in rows if before is None or row[0].id < before][:limit]

    def withdrawn(self, as_of: datetime | None = None) -> set[str]:  # noqa: ARG002 - the same at all times.
        """Return the versions of bundles that were rolled back."""
        return self.withdrawn_bundles

    def heatmap(self, image_id: str, detector: str) -> Heatmap | None:
        """Return the newest heatmap of one detector."""
        return self.heatmaps.get((image_id, detector))

    def frame(self, image_id: str) -> str | None:
        """Return where a picture of an animation's gravest frame lies."""
        served = self.images.get(image_id)
        return served.verdict.frame_key if served and served.verdict else None

    def scans(self, state: ScanState, *, limit: int, before: int | None = None) -> Sequence[tuple[Scan, Image]]:
        """Return scans of a state, newest first."""
        found = [row for row in self.known_scans.values() if row[0].state == state]
        newest_first = sorted(found, key=lambda row: -row[0].id)
        return [row for row in newest_first if before is None or row[0].id < before][:limit]

    def scan(self, scan_id: int) -> tuple[Scan, Image] | None:
        """Return one scan with its image."""
        return self.known_scans.get(scan_id)


@dataclass(frozen=True)
class World:
    """Services over fakes, with the fakes in reach."""

    services: Services
    keys: FakeKeys
    objects: FakeObjects
    register: FakeRegister
    queries: FakeQueries
    clock: FakeClock

    def having(self, **changes: Any) -> "World":
        """Return a world with some services replaced."""
        return replace(self, services=replace(self.services, **changes))


def fake_world() -> World:
    """Return services that need nothing outside this process."""
    keys, objects, queries, clock = FakeKeys(), FakeObjects(), FakeQueries(), FakeClock()
    register = FakeRegister(objects)
    # Out of reach: what these do is SQL, and is tested on a real Postgres.
    stores = stores_over(connect(_NOWHERE), "artifacts")
    stores = replace(stores, audit=FakeAudit())
    registry = CollectorRegistry()
    services = Services(
        queries=queries,
        stores=stores,
        figures=AnswerCache(stores.figures, seconds=0, clock=clock),
        keys=KeyRing(keys, clock=clock),
        pace=NoLimit(),
        guesses=NoLimit(),
        failed_authentications=failed_authentications(registry),
        objects=objects,
        register=register,
        readiness=Readiness({"database": (lambda: True, "")}, clock),
        registry=registry,
        budget=MemoryBudget(100_000),
        now=lambda: NOW,
        upload_bucket="uploads",
        artifact_bucket="artifacts",
        max_image_bytes=10_000,
        presign_seconds=300,
        shadow_min_images=0,
        webhook_private_addresses=False,
        webhook_ports=(),
        serves_metrics=True,
        cors_origins=(),
    )
    return World(services, keys, objects, register, queries, clock)


def image_row(**columns: Any) -> Image:
    """Return an image's row that was never in a database."""
    known = {"id": 7, "image_id": "cat", "source": "uploads", "bucket": "uploads", "key": "cat.jpg"}
    return Image(**{**known, "version": "v1", "versioned": False, "truncated": False, "created_at": NOW, **columns})


def scan_row(**columns: Any) -> Scan:
    """Return a scan's row, likewise."""
    known = {"id": 8, "image_pk": 7, "kind": ScanKind.LIVE, "state": ScanState.COMPLETED, "attempts": 1}
    return Scan(**{**known, "created_at": NOW, **columns})


def verdict_row(**columns: Any) -> Verdict:
    """Return a verdict's row, likewise."""
    known = {"id": 9, "image_pk": 7, "verdict": VerdictValue.AI_GENERATED, "decided_by": DecidedBy.MACHINE}
    figures = {"probability": 0.97, "lower_threshold": 0.2, "upper_threshold": 0.9, "shadow": False}
    evidence = {"detectors": {"clip": {"logit": 3.0, "probability": 0.95}}, "provenance": {"c2pa": None}}
    made_with = {"bundle_version": "b1", "policy_version": 1, "created_at": NOW}
    return Verdict(**{**known, **figures, **evidence, **made_with, **columns})
