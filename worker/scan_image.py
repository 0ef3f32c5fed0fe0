"""THE STORY: what happens to one image, from its lease to its verdict.

Read :meth:`ScanImage._scan` from top to bottom; :meth:`ScanImage._hold` around
it decides what can go wrong, by the kind of the error. Everything else here
is a call to a collaborator.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image as Pixels

from worker.batching import MicroBatcher
from worker.decode import Decoded
from worker.errors import LeaseLostError, PermanentError, Reason, TransientError, WedgedError, public
from worker.fetch import ObjectVersion
from worker.log import get_logger
from worker.metrics import SCANS, STAGE_SECONDS, VERDICTS
from worker.provenance.findings import Provenance
from worker.provenance.reading import ReadManifest, read_provenance
from worker.store.scans import ImageFacts, Lease
from worker.verdict import Decision, decide, rules_for
from worker.words import VerdictValue

log = get_logger()

# Large enough to see where it glows, small enough to be cheap on every flagged image.
_OVERLAY_SIDE = 1024


class Ledger(Protocol):
    """What the story needs of :class:`~worker.store.scans.Scans`; the ends of a scan raise LeaseLostError."""

    def lease(self, scan_id: int, seconds: float) -> Lease | None:
        """Lease a dispatched scan, or return None when there is nothing to do for it."""

    def complete(
        self,
        lease: Lease,
        verdict: Mapping[str, Any],
        heatmaps: Sequence[Mapping[str, Any]],
        facts: ImageFacts,
        timings: Mapping[str, float],
    ) -> None:
        """Write verdict, heatmaps and the end of the scan."""

    def reject(self, lease: Lease, reason: Reason, detail: str) -> None:
        """End the scan because of the image itself."""

    def fail(self, lease: Lease, detail: str, *, retry_in: float | None) -> None:
        """Count an attempt; try again in so many seconds, or declare the scan dead when None."""


class Objects(Protocol):
    """What the story needs of :class:`~worker.fetch.ObjectStore`."""

    def fetch(self, bucket: str, key: str, version: str, *, versioned: bool, max_bytes: int) -> bytes:
        """Return the bytes of exactly this version of an object."""

    def put(self, bucket: str, key: str, body: bytes, content_type: str) -> ObjectVersion:
        """Write an object."""


class Decode(Protocol):
    """Bytes to pixels; suspects in a process of their own."""

    def __call__(self, data: bytes, *, suspect: bool) -> Decoded:
        """Raise PermanentError for what is no good image."""


class Bundles(Protocol):
    """Loaded bundles by version."""

    def get(self, version: str) -> Any:
        """Return the bundle, loading it if needed; raises TransientError if it cannot be had."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon a failed scan is tried again; seconds."""

    max_attempts: int
    base_seconds: float
    max_seconds: float

    def delay(self, attempts: int, jitter: float) -> float:
        """Return the wait after so many attempts; jitter is 0 to 1."""
        # Doubling stops long before a float would overflow; the limit is reached by then.
        return min(self.base_seconds * 2.0 ** min(attempts - 1, 60), self.max_seconds) * (0.5 + jitter)


@dataclass
class Stopwatch:
    """Measures the stages of one scan, in milliseconds."""

    monotonic: Callable[[], float]
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        start = self.monotonic()
        try:
            yield
        finally:
            seconds = self.monotonic() - start
            self.timings[name] = round(self.timings.get(name, 0.0) + 1000 * seconds, 2)
            STAGE_SECONDS.labels(name).observe(seconds)


@dataclass(frozen=True)
class Seen:
    """All that is kept of an image once it was looked at: neither its file nor its full-size pixels.

    Attributes:
        facts: what the record says of it.
        provenance: what the file says of its origin.
        prepared: what the bundle scores.
        preview: pixels to lay heatmaps over.
    """

    facts: ImageFacts
    provenance: Provenance
    prepared: Any
    preview: Pixels.Image


class ScanImage:
    """Scans one image for a Celery task."""

    def __init__(
        self,
        *,
        scans: Ledger,
        objects: Objects,
        decode: Decode,
        read_manifest: ReadManifest,
        turns: AbstractContextManager[object],
        bundles: Bundles,
        batcher: MicroBatcher,
        overlay: Callable[[Pixels.Image, Any, float], bytes],
        artifact_bucket: str,
        lease_seconds: float,
        max_bytes: int,
        retries: RetryPolicy,
        make_heatmaps: bool,
        monotonic: Callable[[], float],
        end_process: Callable[[], None],
    ) -> None:
        """Keep the collaborators; see :mod:`worker.bootstrap` for how they are built."""
        self._scans = scans
        self._objects = objects
        self._decode = decode
        self._read_manifest = read_manifest
        self._turns = turns
        self._bundles = bundles
        self._batcher = batcher
        self._overlay = overlay
        self._artifact_bucket = artifact_bucket
        self._lease_seconds = lease_seconds
        self._max_bytes = max_bytes
        self._retries = retries
        self._make_heatmaps = make_heatmaps
        self._monotonic = monotonic
        self._end_process = end_process

    def __call__(self, scan_id: int) -> None:
        """Bring one scan to its end, or leave it so that it comes again."""
        try:
            lease = self._scans.lease(scan_id, self._lease_seconds)
            if lease is not None:  # else delivered twice, or taken by another worker: the ledger does not care.
                self._hold(lease)
        except LeaseLostError as error:
            SCANS.labels("fenced", "").inc()
            log.warning("scan_fenced", error=error.detail)
        except TransientError as error:
            # The database is away. The dispatch or the lease ends by itself, and the scan comes again.
            log.warning("scan_left", error=error.detail)

    def _hold(self, lease: Lease) -> None:
        try:
            self._scan(lease)
        except LeaseLostError:
            raise
        except PermanentError as error:
            self._scans.reject(lease, error.reason, error.detail)
            SCANS.labels("rejected", error.reason).inc()
            log.info("scan_rejected", reason=error.reason, detail=error.detail)
        except WedgedError as error:
            # The lease is left to expire: the process is ill, not the image.
            log.critical("device_wedged", error=error.detail)
            self._end_process()
        except TransientError as error:
            # A part was out of reach, which is no fault of the image: it is tried for as long as that lasts.
            log.warning("scan_postponed", error=error.detail, attempts=lease.attempts + 1)
            self._fail(lease, error, give_up=False)
        except Exception as error:
            # The task's boundary: whatever it was, the scan is tried again.
            log.exception("scan_failed", attempts=lease.attempts + 1)
            self._fail(lease, error, give_up=self._last_attempt(lease))

    def _scan(self, lease: Lease) -> None:
        watch = Stopwatch(self._monotonic)
        image = lease.image
        bundle = self._bundles.get(lease.bundle_version)
        seen = self._see(lease, bundle, watch)
        with watch.stage("detect"):
            scores = self._batcher(bundle.score, seen.prepared, alone=lease.suspect)
        rules = rules_for(vars(lease.policy), image.source)
        decision = decide(scores.probability, rules, bundle.figures, seen.provenance)
        with watch.stage("heatmap"):
            heatmaps = self._heatmaps(lease, bundle, seen, decision)
        verdict = verdict_row(decision, scores, seen.provenance.as_json(), lease)
        with watch.stage("record"):
            self._scans.complete(lease, verdict, heatmaps, seen.facts, watch.timings)
        SCANS.labels("completed", "").inc()
        VERDICTS.labels(decision.verdict, image.source).inc()
        log.info("scan_completed", verdict=decision.verdict, probability=decision.probability, ms=watch.timings)

    def _see(self, lease: Lease, bundle: Any, watch: Stopwatch) -> Seen:
        """Fetch, decode and prepare; full-size pixels live only while one of the few turns is held."""
        image = lease.image
        with watch.stage("fetch"):
            data = self._objects.fetch(
                image.bucket, image.key, image.version, versioned=image.versioned, max_bytes=self._max_bytes
            )
        with ExitStack() as turn:
            with watch.stage("turn"):
                turn.enter_context(self._turns)
            with watch.stage("decode"):
                pixels = self._decode(data, suspect=lease.suspect).image
            with watch.stage("provenance"):
                provenance = read_provenance(data, self._read_manifest, open_it=not lease.suspect)
                facts = ImageFacts(hashlib.sha256(data).hexdigest(), len(data), *pixels.size)
            with watch.stage("views"):
                prepared = bundle.prepare(pixels)
                pixels.thumbnail((_OVERLAY_SIDE, _OVERLAY_SIDE))
        return Seen(facts, provenance, prepared, preview=pixels)

    def _heatmaps(self, lease: Lease, bundle: Any, seen: Seen, decision: Decision) -> list[dict[str, Any]]:
        """Make and store the evidence for an accusation; nothing for other verdicts, nor where it cannot be made."""
        if not self._make_heatmaps or decision.verdict is not VerdictValue.AI_GENERATED:
            return []
        try:
            return self._stored_heatmaps(lease, bundle, seen, decision)
        except WedgedError:
            raise
        except TransientError as error:
            if not self._last_attempt(lease):
                raise
            log.warning("heatmap_given_up", error=error.detail)
        except Exception:
            # A defect of a picture for people must not cost the verdict, which is known by now.
            log.exception("heatmap_failed")
        return []

    def _stored_heatmaps(self, lease: Lease, bundle: Any, seen: Seen, decision: Decision) -> list[dict[str, Any]]:
        maps = self._batcher(bundle.heatmaps, seen.prepared, alone=lease.suspect)
        rows = []
        for detector, heatmap in maps.items():
            key = f"heatmaps/{lease.image.id}/{lease.scan_id}/{detector}.png"
            png = self._overlay(seen.preview, heatmap, decision.probability)
            self._objects.put(self._artifact_bucket, key, png, "image/png")
            named = {"detector": detector, "method": heatmap.method, "layer": heatmap.layer}
            rows.append({**named, "bundle_version": lease.bundle_version, "key": key})
        return rows

    def _last_attempt(self, lease: Lease) -> bool:
        return lease.attempts + 1 >= self._retries.max_attempts

    def _fail(self, lease: Lease, error: Exception, *, give_up: bool) -> None:
        delay = self._retries.delay(lease.attempts + 1, random.random())  # noqa: S311 - jitter, not a secret
        self._scans.fail(lease, public(error), retry_in=None if give_up else delay)
        SCANS.labels("dead" if give_up else "retried", "").inc()


def verdict_row(decision: Decision, scores: Any, provenance: Mapping[str, object], lease: Lease) -> dict[str, Any]:
    """Return the columns of the verdict that a scan ends with."""
    detectors = {
        name: {"logit": logit, "probability": scores.probabilities[name]} for name, logit in scores.logits.items()
    }
    return {
        "verdict": decision.verdict,
        "decided_by": decision.decided_by,
        "probability": decision.probability,
        "lower_threshold": decision.thresholds.lower,
        "upper_threshold": decision.thresholds.upper,
        "detectors": detectors,
        "provenance": dict(provenance),
        "bundle_version": lease.bundle_version,
        "policy_version": lease.policy.version,
    }
