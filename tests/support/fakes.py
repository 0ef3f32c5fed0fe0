"""Small stand-ins for clock, object store, ledger and bundle.

They keep the contracts of what they stand for, so a test that passes with
them says something of the real parts; the integration tests hold the real
ones to the same sentences.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from tests.support.clocks import FakeClock, FakeStop
from tests.support.objects import FakeObjects
from worker.database.duplicates import Original
from worker.database.features import EarlierScan, StoredFeatures
from worker.database.scans import ImageFacts, Lease
from worker.database.tables import Image, Policy, ScanState
from worker.decisions.calibration import CalibrationFigures, logit_of, sigmoid
from worker.decisions.policy import FIRST_POLICY
from worker.errors import LeaseLostError, Reason
from worker.images.views import PreparedImage, ViewPlan
from worker.objects.versions import ObjectVersion

__all__ = ["FakeBundle", "FakeClock", "FakeObjects", "FakeScan", "FakeScans", "FakeStop"]


@dataclass(frozen=True)
class FakeScores:
    """Scores as a bundle gives them."""

    logits: Mapping[str, float]
    probabilities: Mapping[str, float]
    logit: float
    probability: float
    features: bytes | None = None
    engines: Mapping[str, str] = field(default_factory=lambda: {"clip": "torch fp32", "convnext": "torch fp32"})
    weights: Mapping[str, float] = field(default_factory=lambda: {"clip": 1.0, "convnext": 0.0})


@dataclass(frozen=True)
class FakeHeatmap:
    """A heatmap that says where it comes from and nothing else."""

    method: str = "fake"
    layer: str = "none"


@dataclass
class FakeBundle:
    """A bundle whose probability is the mean brightness of the image; remembers its batches.

    Attributes:
        version: what it calls itself.
        poison: images of this brightness, 0 to 255, fail the batch that they are in.
        batches: the brightnesses of each batch that was scored.
    """

    version: str = "fake-1"
    poison: frozenset[int] = frozenset()
    batches: list[list[int]] = field(default_factory=list)
    figures: CalibrationFigures = field(
        default_factory=lambda: CalibrationFigures.of(
            [number / 1000 for number in range(600)], [number / 1000 for number in range(400, 1000)], "made up"
        )
    )

    plans: Mapping[str, ViewPlan] = field(default_factory=lambda: {"clip": ViewPlan(4, 1, 0)})

    def score(self, batch: Sequence[PreparedImage]) -> list[FakeScores]:
        """Turn brightness into probability."""
        brightness = [round(float(prepared.views["clip"].mean())) for prepared in batch]
        self.batches.append(brightness)
        if self.poison & set(brightness):
            raise ValueError(f"poison among {len(batch)}")
        return [self._scores(level / 255) for level in brightness]

    def rescored(self, batch: Sequence[tuple["FakeBundle", StoredFeatures]]) -> list[FakeScores | None]:
        """Judge by logits seen before; None where the other bundle is of another family, by its name's beginning."""
        family = self.version.partition("-")[0]
        return [
            self._scores(sigmoid(memory.logits["clip"])) if other.version.startswith(f"{family}-") else None
            for other, memory in batch
        ]

    def heatmaps(self, batch: Sequence[PreparedImage]) -> list[dict[str, FakeHeatmap]]:
        """Explain nothing, for each detector."""
        return [{"clip": FakeHeatmap(), "convnext": FakeHeatmap()} for _ in batch]

    def _scores(self, probability: float) -> FakeScores:
        logit = logit_of(probability)
        return FakeScores(
            {"clip": logit, "convnext": logit}, {"clip": probability, "convnext": probability}, logit, probability
        )


@dataclass
class FakeScan:
    """A scan as :class:`FakeScans` keeps it."""

    image: Image
    state: ScanState = ScanState.DISPATCHED
    attempts: int = 0
    lease_expiries: int = 0
    token: object = None
    reason: Reason | None = None
    detail: str | None = None
    retry_in: float | None = None
    verdict: Mapping[str, Any] | None = None
    heatmaps: Sequence[Mapping[str, Any]] = ()
    facts: ImageFacts | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    only_heatmaps: bool = False
    only_thumbnail: bool = False
    rescan: bool = False
    memory: StoredFeatures | None = None
    thumbnail_key: str | None = None


class FakeScans:
    """The ledger of scans in memory, fenced by tokens like the real one; raises ``trouble`` when it is set."""

    def __init__(self, *, bundle_version: str = "fake-1", suspect_after: int = 2) -> None:
        self.scans: dict[int, FakeScan] = {}
        self.trouble: Exception | None = None
        self.memory: dict[int, list[EarlierScan]] = {}
        self._bundle_version = bundle_version
        self._suspect_after = suspect_after
        self._policy = Policy(version=1, **FIRST_POLICY.columns(), created_by="test")

    def add(
        self,
        bucket: str,
        key: str,
        version: ObjectVersion,
        *,
        lease_expiries: int = 0,
        only_heatmaps: bool = False,
        only_thumbnail: bool = False,
        rescan: bool = False,
    ) -> int:
        """Dispatch a scan of an object; return its id."""
        scan_id = len(self.scans) + 1
        image = Image(
            id=scan_id,
            image_id=key,
            source=bucket,
            bucket=bucket,
            key=key,
            version=version.version_id or version.etag,
            versioned=version.version_id is not None,
            truncated=False,
        )
        scan = FakeScan(image, lease_expiries=lease_expiries, only_heatmaps=only_heatmaps, rescan=rescan)
        scan.only_thumbnail = only_thumbnail
        self.scans[scan_id] = scan
        return scan_id

    def lease(
        self, scan_id: int, seconds: float, *, worker_id: int | None = None, ready: Collection[str] | None = None
    ) -> Lease | None:
        """Lease a dispatched scan whose bundle is ready."""
        del seconds, worker_id
        self._check()
        scan = self.scans[scan_id]
        if scan.state is not ScanState.DISPATCHED or (ready is not None and self._bundle_version not in ready):
            return None
        token = uuid4()
        scan.state, scan.token = ScanState.LEASED, token
        suspect = scan.lease_expiries >= self._suspect_after
        return Lease(
            scan_id,
            token,
            scan.image,
            self._policy,
            self._bundle_version,
            shadow=False,
            attempts=scan.attempts,
            suspect=suspect,
            only_heatmaps=scan.only_heatmaps,
            only_thumbnail=scan.only_thumbnail,
            rescan=scan.rescan,
        )

    def put_back(self, scan_id: int, ready: Collection[str], pause: float) -> str | None:
        """Queue a dispatched scan again whose bundle is not ready."""
        scan = self.scans[scan_id]
        if scan.state is not ScanState.DISPATCHED or self._bundle_version in ready:
            return None
        scan.state, scan.retry_in = ScanState.QUEUED, pause
        return self._bundle_version

    def renew(self, leases: Sequence[Lease], seconds: float) -> set[UUID]:
        """Return the tokens of leases that still hold."""
        del seconds
        self._check()
        return {lease.token for lease in leases if self.scans[lease.scan_id].token == lease.token}

    def queue_again(self, scans: Mapping[int, UUID | None]) -> None:
        """Queue scans again that are leased under these tokens, or dispatched."""
        self._check()
        for scan_id, token in scans.items():
            scan = self.scans[scan_id]
            if (scan.state, scan.token) in {(ScanState.LEASED, token), (ScanState.DISPATCHED, None)}:
                scan.state, scan.token = ScanState.QUEUED, None

    def expire(self, scan_id: int) -> None:
        """Take a lease back, as the dispatcher does when it ends."""
        scan = self.scans[scan_id]
        scan.state, scan.token = ScanState.DISPATCHED, None
        scan.lease_expiries += 1

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
        """End a scan with its verdict; raises LeaseLostError."""
        scan = self._held(lease)
        scan.state, scan.verdict, scan.heatmaps = ScanState.COMPLETED, verdict, heatmaps
        scan.facts, scan.timings, scan.memory, scan.thumbnail_key = facts, timings, memory, thumbnail_key

    def explain(self, lease: Lease, heatmaps: Sequence[Mapping[str, Any]], timings: Mapping[str, float]) -> None:
        """End a scan with heatmaps alone; raises LeaseLostError."""
        scan = self._held(lease)
        scan.state, scan.heatmaps, scan.timings = ScanState.COMPLETED, heatmaps, timings

    def keep_thumbnail(self, lease: Lease, key: str, timings: Mapping[str, float]) -> None:
        """End a scan with a thumbnail; raises LeaseLostError."""
        scan = self._held(lease)
        scan.state, scan.thumbnail_key, scan.timings = ScanState.COMPLETED, key, timings

    def recall(self, image_pk: int) -> list[EarlierScan]:
        """Return what bundles saw in an image."""
        return self.memory.get(image_pk, [])

    def original(self, sha256: str, bundle_version: str, policy_version: int) -> Original | None:
        """Return what the same bytes got before."""
        key = (sha256, bundle_version, policy_version)
        for scan_id, scan in self.scans.items():
            verdict, facts = scan.verdict, scan.facts
            if verdict is None or facts is None or "duplicate_of" in verdict:
                continue
            if (facts.sha256, verdict["bundle_version"], verdict["policy_version"]) == key:
                heatmaps = [dict(heatmap) for heatmap in scan.heatmaps]
                recorded = verdict["probability"], verdict["detectors"], facts, heatmaps
                return Original(scan_id, *recorded, verdict.get("frames"), verdict.get("frame_key"))
        return None

    def reject(self, lease: Lease, reason: Reason, detail: str) -> None:
        """End a scan because of its image; raises LeaseLostError."""
        scan = self._held(lease)
        scan.state, scan.reason, scan.detail = ScanState.REJECTED, reason, detail

    def fail(self, lease: Lease, detail: str, *, retry_in: float | None) -> None:
        """Count an attempt, queue again or declare dead; raises LeaseLostError."""
        scan = self._held(lease)
        scan.attempts, scan.detail, scan.retry_in = lease.attempts + 1, detail, retry_in
        scan.state = ScanState.DEAD if retry_in is None else ScanState.QUEUED

    def dispatch(self, scan_id: int) -> None:
        """Dispatch a queued scan again."""
        scan = self.scans[scan_id]
        if scan.state is ScanState.QUEUED:
            scan.state = ScanState.DISPATCHED

    def _held(self, lease: Lease) -> FakeScan:
        self._check()
        scan = self.scans[lease.scan_id]
        if scan.state is not ScanState.LEASED or scan.token != lease.token:
            raise LeaseLostError
        return scan

    def _check(self) -> None:
        if self.trouble:
            raise self.trouble
