"""The score of another image of the same bytes: nothing is decoded, the device is not touched."""

from contextlib import AbstractContextManager
from functools import partial

from worker.database.scans import Lease
from worker.decisions.frames import Frames
from worker.decisions.near_hashes import OneLook
from worker.scan.collaborators import Originals
from worker.scan.heatmap_files import Evidence
from worker.scan.read_file import ReadFile
from worker.scan.retries import Stopwatch
from worker.scan.score import Score


class BySameBytes:
    """Scores an image by the verdict that another one of the same bytes got."""

    def __init__(self, *, originals: Originals, evidence: Evidence) -> None:
        self._originals = originals
        self._evidence = evidence
        self._one_look = OneLook()

    def wait(self, lease: Lease, sha256: str) -> AbstractContextManager[None]:
        """Hold the bytes against this process's other threads: one of them looks, the others take what it finds."""
        return self._one_look.at((sha256, lease.bundle_version))

    def __call__(self, lease: Lease, file: ReadFile, watch: Stopwatch) -> Score | None:
        """Return the score; None where this bundle and policy never judged these bytes, and for evidence alone."""
        if lease.only_heatmaps:
            return None
        with watch.stage("duplicate"):
            original = self._originals.original(file.facts.sha256, lease.bundle_version, lease.policy.version)
        if original is None:
            return None
        copy = partial(self._evidence.copy, lease, original.heatmaps) if original.heatmaps else None
        frame_key = None if lease.shadow else original.frame_key
        return Score(
            original.probability,
            original.detectors,
            original.facts,
            file.facts.provenance,
            explain=copy,
            duplicate_of=original.verdict_id,
            frames=Frames.of_json(original.frames),
            keep_frame=partial(self._evidence.copy_frame, lease, frame_key) if frame_key else None,
        )
