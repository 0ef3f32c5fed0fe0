"""THE STORY: what happens to one image, from its lease to its verdict.

Read :meth:`ScanImage._scan` from top to bottom. What an error means for the scan stands in
:mod:`worker.scan.end_of_scan`, the three ways to a score in :mod:`worker.scan.score`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from worker.database.scans import Lease
from worker.decisions.policy import rules_for
from worker.decisions.verdict import Decision, judge
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.errors import LeaseLostError, TransientError
from worker.scan.collaborators import Bundles
from worker.scan.end_of_scan import EndOfScan
from worker.scan.leases import Leases
from worker.scan.read_file import FileReader
from worker.scan.retries import Stopwatch
from worker.scan.score import Score
from worker.scan.score.by_memory import ByMemory
from worker.scan.score.by_pixels import ByPixels
from worker.scan.score.by_same_bytes import BySameBytes
from worker.scan.thumbnails import Thumbnails
from worker.scan.verdict_row import Judgement

Evidence = TypeVar("Evidence")


class ScanImage:
    """Scans one image for a Celery task."""

    def __init__(
        self,
        *,
        leases: Leases,
        bundles: Bundles,
        read_file: FileReader,
        by_memory: ByMemory,
        by_same_bytes: BySameBytes,
        by_pixels: ByPixels,
        thumbnails: Thumbnails,
        end_of_scan: EndOfScan,
        make_heatmaps: bool,
    ) -> None:
        """Keep the collaborators; :mod:`worker.processes.worker` builds them."""
        self._leases = leases
        self._bundles = bundles
        self._read_file = read_file
        self._by_memory = by_memory
        self._by_same_bytes = by_same_bytes
        self._by_pixels = by_pixels
        self._thumbnails = thumbnails
        self._end_of_scan = end_of_scan
        self._make_heatmaps = make_heatmaps

    def __call__(self, scan_id: int) -> None:
        """Bring one scan to its end, or leave it so that it comes again."""
        try:
            with self._leases.hold(scan_id) as held:
                if held is not None:  # else delivered twice, or taken by another worker: the ledger does not care.
                    self._end(held.lease, held.watch)
        except (LeaseLostError, TransientError) as error:
            self._end_of_scan.leave(error)

    def _end(self, lease: Lease, watch: Stopwatch) -> None:
        try:
            self._scan(lease, watch)
        except Exception as error:  # noqa: BLE001 - the task's boundary; what is unexpected is logged there.
            self._end_of_scan(lease, error)

    def _scan(self, lease: Lease, watch: Stopwatch) -> None:
        if lease.only_thumbnail:
            self._end_of_scan.keep_thumbnail(lease, self._thumbnails.make(lease, watch), watch)
            return
        bundle = self._bundles.get(lease.bundle_version)
        judgement = self._judge_if_enough(lease, bundle, self._by_memory(lease, bundle, watch))
        if judgement is None:
            file = self._read_file(lease.image, watch, bulk=lease.bulk)
            # Of images of the same bytes one is looked at; the others wait here for what it gives.
            with self._by_same_bytes.wait(lease, file.facts.sha256):
                judgement = self._judge_if_enough(lease, bundle, self._by_same_bytes(lease, file, watch))
                if judgement is None:
                    score = self._by_pixels(lease, bundle, file, watch)
                    self._complete(lease, self._judge(lease, bundle, score), watch)
                    return
        self._complete(lease, judgement, watch)

    def _judge_if_enough(self, lease: Lease, bundle: Any, score: Score | None) -> Judgement | None:
        """Judge by a score; None where there is none, or where evidence would be lacking."""
        if score is None or (score.lacks_frame and self._make_heatmaps and not lease.shadow):
            return None
        judgement = self._judge(lease, bundle, score)
        return None if score.explain is None and self._wants_heatmaps(lease, judgement.decision) else judgement

    def _judge(self, lease: Lease, bundle: Any, score: Score) -> Judgement:
        rules = rules_for(lease.policy, lease.image.source)
        return Judgement(score, judge(score.probability, rules, bundle.figures, score.provenance, score.gravest_frame))

    def _complete(self, lease: Lease, judgement: Judgement, watch: Stopwatch) -> None:
        """Make the evidence, then write all down."""
        explain, keep_frame = judgement.score.explain, judgement.score.keep_frame
        # An image has one live scan, so one thumbnail: a rescan leaves it to whoever looks.
        needs_thumbnail = lease.is_first and judgement.decision.verdict is VerdictValue.UNCERTAIN
        wants_heatmaps = lease.only_heatmaps or self._wants_heatmaps(lease, judgement.decision)
        with watch.stage("heatmap"):
            heatmaps = self._make(lease, explain if wants_heatmaps else None) or []
            frame_key = self._make(lease, keep_frame if self._make_heatmaps else None)
            thumbnail_key = self._make(lease, judgement.score.keep_thumbnail if needs_thumbnail else None)
        judgement = replace(judgement, frame_key=frame_key, thumbnail_key=thumbnail_key)
        self._end_of_scan.complete(lease, judgement, heatmaps, watch)

    def _make(self, lease: Lease, evidence: Callable[[], Evidence] | None) -> Evidence | None:
        """Make a piece of evidence; None where there is nothing to make, or where it cannot be made."""
        try:
            return evidence and evidence()
        except Exception as error:
            if lease.only_heatmaps:
                raise
            self._end_of_scan.spare_verdict(lease, error)
            return None

    def _wants_heatmaps(self, lease: Lease, decision: Decision) -> bool:
        # Nobody is shown what a challenger says, and heatmaps explain pixels, not what a file says of itself.
        accuses = decision.verdict is VerdictValue.AI_GENERATED and decision.decided_by is not DecidedBy.DECLARED
        return self._make_heatmaps and not lease.shadow and accuses
