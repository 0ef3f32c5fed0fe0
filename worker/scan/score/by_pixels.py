"""The score of an image by its pixels: decoded and cut into views in a decoder process, then judged in a batch."""

from functools import partial
from typing import Any

from worker.database.features import StoredFeatures
from worker.database.scans import ImageFacts, Lease
from worker.decisions.calibration import shift
from worker.scan.collaborators import Decoders
from worker.scan.heatmap_files import Evidence
from worker.scan.micro_batcher import MicroBatcher
from worker.scan.read_file import ReadFile
from worker.scan.retries import Stopwatch
from worker.scan.score import Score, detector_columns
from worker.scan.score.animation import preview_of, weigh_frames
from worker.scan.thumbnails import Thumbnails


class ByPixels:
    """Scores an image that nobody has looked at."""

    def __init__(
        self,
        *,
        decoders: Decoders,
        batcher: MicroBatcher,
        evidence: Evidence,
        thumbnails: Thumbnails,
        keep_features: bool,
    ) -> None:
        self._decoders = decoders
        self._batcher = batcher
        self._evidence = evidence
        self._thumbnails = thumbnails
        self._keep_features = keep_features

    def __call__(self, lease: Lease, bundle: Any, file: ReadFile, watch: Stopwatch) -> Score:
        """Return the score; raises PermanentError where the file is no good image."""
        with watch.stage("look"):
            look = self._decoders.look(file.data, bundle.plans, watch.note, bulk=lease.bulk)
        with watch.stage("detect"):
            pictures = [look.prepared] if lease.only_heatmaps else look.pictures
            scores, *others = self._batcher.run_all(bundle.score, pictures, alone=lease.suspect, bulk=lease.bulk)
        features = None
        if self._keep_features and scores.features is not None:
            features = StoredFeatures(scores.features, scores.logits, look.prepared.covariates)
        probabilities = [shift(one.probability, lease.policy.prior_shift) for one in (scores, *others)]
        frames = None if lease.only_heatmaps else weigh_frames(look, probabilities)
        keep_frame = None
        if frames is not None and not lease.shadow:
            keep_frame = partial(self._evidence.put_frame, lease, preview_of(look, frames.gravest.number))
        return Score(
            probabilities[0],
            detector_columns(scores),
            ImageFacts(
                file.facts.sha256, file.facts.size_bytes, *look.prepared.size, look.pdq, truncated=look.truncated
            ),
            file.facts.provenance,
            explain=partial(self._evidence.draw, lease, bundle, look, probabilities[0]),
            features=features,
            frames=frames,
            keep_frame=keep_frame,
            keep_thumbnail=partial(self._thumbnails.put, lease, look.preview),
        )
