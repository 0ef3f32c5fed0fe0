"""What the story of an image needs of its parts, each no wider than that."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from worker.database.duplicates import Original
from worker.database.features import EarlierScan, StoredFeatures
from worker.database.scans import ImageFacts, Lease
from worker.decoders.look import FileFacts, Look
from worker.errors import Reason
from worker.images.views import ViewPlan

# Told a stage and its milliseconds.
Observe = Callable[[str, float], None]


class Ledger(Protocol):
    """What the story needs of :class:`~worker.database.scans.Scans`; the ends of a scan raise LeaseLostError."""

    def complete(
        self,
        lease: Lease,
        verdict: Mapping[str, Any],
        heatmaps: Sequence[Mapping[str, Any]],
        facts: ImageFacts,
        timings: Mapping[str, float],
        *,
        memory: StoredFeatures | None = None,
        thumbnail_key: str | None = None,
    ) -> None:
        """Write verdict, heatmaps, what was seen, where a thumbnail lies, and the end of the scan."""

    def explain(self, lease: Lease, heatmaps: Sequence[Mapping[str, Any]], timings: Mapping[str, float]) -> None:
        """Write heatmaps that somebody asked for, and the end of the scan."""

    def keep_thumbnail(self, lease: Lease, key: str, timings: Mapping[str, float]) -> None:
        """Write where a thumbnail lies that somebody asked for, and the end of the scan."""

    def reject(self, lease: Lease, reason: Reason, detail: str) -> None:
        """End the scan because of the image itself."""

    def fail(self, lease: Lease, detail: str, *, retry_in: float | None) -> None:
        """Count an attempt; try again in so many seconds, or declare the scan dead when None."""


class Objects(Protocol):
    """What the story needs of :class:`~worker.objects.object_store.ObjectStore`."""

    def fetch(self, bucket: str, key: str, version: str, *, versioned: bool, max_bytes: int) -> bytes:
        """Return the bytes of exactly this version of an object."""


class Originals(Protocol):
    """What the story needs of :class:`~worker.database.duplicates.Duplicates`."""

    def original(self, sha256: str, bundle_version: str, policy_version: int) -> Original | None:
        """Return what a bundle and a policy made of the same bytes before."""


class Recall(Protocol):
    """What the story needs of :class:`~worker.database.features.Memory`."""

    def __call__(self, image_pk: int) -> Sequence[EarlierScan]:
        """Return what bundles saw in an image, the newest first."""


class Decoders(Protocol):
    """What the story needs of :class:`~worker.decoders.pool.DecoderPool`; both raise PermanentError.

    What is `bulk` waits until nothing else does.
    """

    def read(self, data: bytes, observe: Observe, *, bulk: bool = False) -> FileFacts:
        """Hash a file and read what it says of its origin."""

    def look(self, data: bytes, plans: Mapping[str, ViewPlan], observe: Observe, *, bulk: bool = False) -> Look:
        """Decode an image and cut the views that are planned."""


class Bundles(Protocol):
    """Loaded bundles by version."""

    def get(self, version: str) -> Any:
        """Return the bundle, loading it if needed; raises TransientError if it cannot be had."""
