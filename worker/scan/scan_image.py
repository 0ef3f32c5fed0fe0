"""THE STORY: what happens to one image, from its lease to its verdict.

Read :meth:`ScanImage._scan` from top to bottom; :meth:`ScanImage._hold` around
it decides what can go wrong, by the kind of the error. Everything else here
is a call to a collaborator.
"""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from PIL import Image as Pixels

from worker.database.duplicates import Original
from worker.database.features import Seen as Features
from worker.database.scans import ImageFacts, Lease
from worker.database.tables import Image
from worker.decisions.near_hashes import OneLook
from worker.decisions.policy import rules_for
from worker.decisions.verdict import Decision, decide, judge
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.errors import LeaseLostError, PermanentError, TransientError, WedgedError, public
from worker.images.decode import PREVIEW_SIDE
from worker.images.perceptual_hash import perceptual_hash
from worker.log import get_logger
from worker.metrics import SCANS, VERDICTS
from worker.provenance.findings import Provenance, must_read_again, provenance_of
from worker.provenance.reading import ReadManifest, read_provenance
from worker.scan.collaborators import Bundles, Decode, Ledger, Objects, Originals, Recall
from worker.scan.heatmap_files import Evidence
from worker.scan.micro_batcher import MicroBatcher
from worker.scan.retries import RetryPolicy, Stopwatch

log = get_logger()


@dataclass
class Found:
    """An image's file, before anybody looks at its pixels; emptied by who does, for many wait for the device."""

    data: bytes
    size_bytes: int
    sha256: str
    provenance: Provenance
    bundle: Any
    watch: Stopwatch


@dataclass(frozen=True)
class Seen:
    """All that is kept of an image once it was looked at: neither its file nor its full-size pixels.

    Attributes:
        facts: what the record says of it.
        prepared: what the bundle scores.
        preview: pixels to lay heatmaps over.
    """

    facts: ImageFacts
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
        originals: Originals,
        evidence: Evidence,
        recall: Recall,
        keep_features: bool,
        lease_seconds: float,
        max_bytes: int,
        retries: RetryPolicy,
        make_heatmaps: bool,
        monotonic: Callable[[], float],
        end_process: Callable[[], None],
    ) -> None:
        """Keep the collaborators; see :mod:`worker.processes.dispatcher` for how they are built."""
        self._scans = scans
        self._objects = objects
        self._decode = decode
        self._read_manifest = read_manifest
        self._turns = turns
        self._bundles = bundles
        self._batcher = batcher
        self._originals = originals
        self._evidence = evidence
        self._recall = recall
        self._keep_features = keep_features
        self._one_look = OneLook()
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
        if lease.rescan and self._judge_from_memory(lease, bundle, watch):
            return
        with watch.stage("fetch"):
            data = self._objects.fetch(
                image.bucket, image.key, image.version, versioned=image.versioned, max_bytes=self._max_bytes
            )
        with watch.stage("provenance"):
            found = self._found(lease, data, bundle, watch)
        del data
        # Of images of the same bytes one is looked at; the others wait here for what it gives.
        with self._one_look.at((found.sha256, lease.bundle_version)):
            with watch.stage("duplicate"):
                original = self._originals.original(found.sha256, lease.bundle_version, lease.policy.version)
            taken_over = None if original is None or lease.only_heatmaps else self._judged(lease, found, original)
            if original is None or taken_over is None:
                self._look(lease, found)
                return
        self._take_over(lease, found, original, taken_over)

    def _look(self, lease: Lease, found: Found) -> None:
        """Judge an image by its pixels and its provenance."""
        seen = self._see(lease, found)
        with found.watch.stage("detect"):
            scores = self._batcher(found.bundle.score, seen.prepared, alone=lease.suspect)
        rules = rules_for(lease.policy, lease.image.source)
        decision = decide(scores.probability, rules, found.bundle.figures, found.provenance)
        draw = partial(self._evidence.draw, lease, found.bundle, seen.prepared, seen.preview, decision.probability)
        if lease.only_heatmaps:
            self._scans.explain(lease, draw(), found.watch.timings)
            SCANS.labels("explained", "").inc()
            return
        with found.watch.stage("heatmap"):
            heatmaps = self._heatmaps(lease, decision, draw)
        features = None
        if self._keep_features and scores.features is not None:
            features = Features(scores.features, scores.logits, seen.prepared.covariates)
        row = verdict_row(decision, detectors_of(scores))
        self._complete(lease, found, row, heatmaps, seen.facts, features=features)

    def _judge_from_memory(self, lease: Lease, bundle: Any, watch: Stopwatch) -> bool:
        """Judge an image by what an earlier scan saw in it; False where the pixels are needed.

        They are where a detector's body differs, where the file has a C2PA manifest, and for new evidence.
        """
        image = lease.image
        facts = known_facts(image)
        if facts is None:
            return False
        for remembered in self._recall(image.id):
            if must_read_again(remembered.provenance):
                break
            provenance = provenance_of(remembered.provenance)
            try:
                other = self._bundles.get(remembered.bundle_version)
            except TransientError:
                continue  # that bundle is not to be had any more
            with watch.stage("detect"):
                scores = self._batcher(bundle.rescored, (other, remembered.seen), alone=lease.suspect)
            if scores is None:
                continue
            rules = rules_for(lease.policy, image.source)
            decision = decide(scores.probability, rules, bundle.figures, provenance)
            if self._wants_heatmaps(lease, decision):
                break
            found = Found(b"", facts.size_bytes, facts.sha256, provenance, bundle, watch)
            row = verdict_row(decision, detectors_of(scores))
            self._complete(lease, found, row, [], facts, features=remembered.seen)
            return True
        return False

    def _judged(self, lease: Lease, found: Found, original: Original) -> Decision | None:
        """Judge an image by what another one of the same bytes got; None where that lacks the evidence this one needs.

        It does where that image's source has rules under which it was not flagged.
        """
        rules = rules_for(lease.policy, lease.image.source)
        decision = judge(original.probability, rules, found.bundle.figures, found.provenance)
        return None if self._wants_heatmaps(lease, decision) and not original.heatmaps else decision

    def _take_over(self, lease: Lease, found: Found, original: Original, decision: Decision) -> None:
        """Give an image what another one of the same bytes got; nothing is decoded, the device is not touched."""
        with found.watch.stage("heatmap"):
            copy = partial(self._evidence.copy, lease, original.heatmaps)
            heatmaps = self._heatmaps(lease, decision, copy)
        row = verdict_row(decision, original.detectors)
        row["duplicate_of"] = original.verdict_id
        if decision.decided_by is DecidedBy.MACHINE:
            row["decided_by"] = DecidedBy.DUPLICATE
        self._complete(lease, found, row, heatmaps, original.facts)

    def _complete(
        self,
        lease: Lease,
        found: Found,
        row: dict[str, Any],
        heatmaps: Sequence[Mapping[str, Any]],
        facts: ImageFacts,
        *,
        features: Features | None = None,
    ) -> None:
        row["provenance"] = found.provenance.as_json()
        row["bundle_version"], row["policy_version"] = lease.bundle_version, lease.policy.version
        with found.watch.stage("record"):
            self._scans.complete(lease, row, heatmaps, facts, found.watch.timings, seen=features)
        SCANS.labels("completed", "").inc()
        if not lease.shadow:
            VERDICTS.labels(row["verdict"], lease.image.source).inc()
        told = {name: row[name] for name in ("verdict", "decided_by", "probability")}
        log.info("scan_completed", **told, ms=found.watch.timings)

    def _found(self, lease: Lease, data: bytes, bundle: Any, watch: Stopwatch) -> Found:
        provenance = read_provenance(data, self._read_manifest, open_it=not lease.suspect)
        return Found(data, len(data), hashlib.sha256(data).hexdigest(), provenance, bundle, watch)

    def _see(self, lease: Lease, found: Found) -> Seen:
        """Decode and prepare; full-size pixels live only while one of the few turns is held."""
        watch = found.watch
        with ExitStack() as turn:
            with watch.stage("turn"):
                turn.enter_context(self._turns)
            with watch.stage("decode"):
                pixels = self._decode(found.data, suspect=lease.suspect).image
            size, found.data = pixels.size, b""
            with watch.stage("views"):
                prepared = found.bundle.prepare(pixels)
                pixels.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
                facts = ImageFacts(found.sha256, found.size_bytes, *size, perceptual_hash(pixels))
        return Seen(facts, prepared, preview=pixels)

    def _heatmaps(
        self, lease: Lease, decision: Decision, make: Callable[[], list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Make the evidence for an accusation; nothing for other verdicts, nor where it cannot be made."""
        if not self._wants_heatmaps(lease, decision):
            return []
        try:
            return make()
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

    def _wants_heatmaps(self, lease: Lease, decision: Decision) -> bool:
        # Nobody is shown what a challenger says.
        return self._make_heatmaps and not lease.shadow and decision.verdict is VerdictValue.AI_GENERATED

    def _last_attempt(self, lease: Lease) -> bool:
        return lease.attempts + 1 >= self._retries.max_attempts

    def _fail(self, lease: Lease, error: Exception, *, give_up: bool) -> None:
        delay = self._retries.delay(lease.attempts + 1, random.random())  # noqa: S311 - jitter, not a secret
        self._scans.fail(lease, public(error), retry_in=None if give_up else delay)
        SCANS.labels("dead" if give_up else "retried", "").inc()


def known_facts(image: Image) -> ImageFacts | None:
    """Return what earlier scans learnt of an image; None where none has ended with a verdict."""
    if image.sha256 is None or image.size_bytes is None or image.width is None or image.height is None:
        return None
    return ImageFacts(image.sha256, image.size_bytes, image.width, image.height, image.pdq)


def detectors_of(scores: Any) -> dict[str, dict[str, float]]:
    """Return what each detector said, as a verdict's row has it."""
    return {name: {"logit": logit, "probability": scores.probabilities[name]} for name, logit in scores.logits.items()}


def verdict_row(decision: Decision, detectors: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the verdict that say what was decided, by what and by which cuts."""
    return {
        "verdict": decision.verdict,
        "decided_by": decision.decided_by,
        "probability": decision.probability,
        "lower_threshold": decision.thresholds.lower,
        "upper_threshold": decision.thresholds.upper,
        "detectors": dict(detectors),
    }
