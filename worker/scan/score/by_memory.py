"""A rescan's score from what an earlier scan saw in the image: neither its file nor its pixels are needed."""

from typing import Any

from worker.database.features import EarlierScan
from worker.database.scans import ImageFacts, Lease
from worker.database.tables import Image
from worker.decisions.calibration import shift
from worker.errors import TransientError
from worker.provenance.findings import must_read_again, provenance_of
from worker.scan.collaborators import Bundles, Recall
from worker.scan.micro_batcher import MicroBatcher
from worker.scan.retries import Stopwatch
from worker.scan.score import Score, detector_columns


class ByMemory:
    """Scores an image by the features of an earlier scan."""

    def __init__(self, *, recall: Recall, bundles: Bundles, batcher: MicroBatcher) -> None:
        self._recall = recall
        self._bundles = bundles
        self._batcher = batcher

    def __call__(self, lease: Lease, bundle: Any, watch: Stopwatch) -> Score | None:
        """Return the score; None where the pixels are needed.

        They are for a first scan, where a detector's body differs, where the file has a C2PA manifest, and for
        animations, of which one frame alone was kept.
        """
        facts = known_facts(lease.image)
        if not lease.rescan or facts is None:
            return None
        for earlier in self._recall(lease.image.id):
            if must_read_again(earlier.provenance) or earlier.frames is not None:
                return None
            scores = self._rescore(lease, bundle, earlier, watch)
            if scores is not None:
                probability = shift(scores.probability, lease.policy.prior_shift)
                columns = detector_columns(scores)
                provenance = provenance_of(earlier.provenance)
                return Score(probability, columns, facts, provenance, features=earlier.memory)
        return None

    def _rescore(self, lease: Lease, bundle: Any, earlier: EarlierScan, watch: Stopwatch) -> Any:
        try:
            other = self._bundles.get(earlier.bundle_version)
        except TransientError:
            return None  # that bundle is not to be had any more
        with watch.stage("detect"):
            return self._batcher(bundle.rescored, (other, earlier.memory), alone=lease.suspect, bulk=lease.bulk)


def known_facts(image: Image) -> ImageFacts | None:
    """Return what earlier scans learnt of an image; None where none has ended with a verdict."""
    if image.sha256 is None or image.size_bytes is None or image.width is None or image.height is None:
        return None
    return ImageFacts(image.sha256, image.size_bytes, image.width, image.height, image.pdq, truncated=image.truncated)
