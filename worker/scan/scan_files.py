"""Scans files on disk with a bundle alone: no queue, no database, no network, the same result every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.decisions.frames import Frames
from worker.decisions.policy import Rules
from worker.decisions.verdict import Decision, decide
from worker.decoders.look import Look
from worker.errors import PermanentError, Reason, TooLargeError
from worker.images.views import PreparedImage
from worker.provenance.findings import Provenance
from worker.scan.score.animation import weigh_frames

if TYPE_CHECKING:
    from worker.scan.collaborators import Decoders


@dataclass(frozen=True)
class FileScan:
    """What was found of one file; fields are empty where the file was rejected."""

    path: Path
    sha256: str | None
    reason: Reason | None = None
    detail: str | None = None
    look: Look | None = None
    provenance: Provenance | None = None
    scores: Any = None
    decision: Decision | None = None
    frames: Frames | None = None

    def as_json(self, bundle_version: str) -> dict[str, Any]:
        """Return the line that ``assay scan --json`` prints."""
        decision = self.decision
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "state": "completed" if decision else "rejected",
            "reason": self.reason,
            "detail": self.detail,
            "verdict": decision.verdict if decision else None,
            "probability": round(decision.probability, 6) if decision else None,
            "decided_by": decision.decided_by if decision else None,
            "detectors": self._detectors(),
            "frames": self.frames.to_json() if self.frames else None,
            "truncated": self.look.truncated if self.look else None,
            "provenance": self.provenance.as_json() if self.provenance else {},
            "bundle": bundle_version,
        }

    def _detectors(self) -> dict[str, Any]:
        logits, scores = self.scores.logits if self.scores else {}, self.scores
        return {
            name: {
                "logit": round(logit, 4),
                "probability": round(scores.probabilities[name], 6),
                "engine": scores.engines[name],
                "weight": scores.weights[name],
            }
            for name, logit in logits.items()
        }


def scan_files(
    paths: Iterable[Path],
    bundle: Any,
    rules: Rules,
    *,
    decoders: Decoders,
    max_batch: int,
    max_bytes: int,
) -> Iterator[FileScan]:
    """Yield one result for each path, in order.

    Args:
        paths: files; anything that is no good image is rejected with a reason.
        bundle: a loaded :class:`~worker.bundles.loaded.Bundle`.
        rules: budgets that thresholds follow from.
        decoders: read and decode the files.
        max_batch: most images in one forward pass.
        max_bytes: largest file read.
    """
    remaining = iter(paths)
    with ThreadPoolExecutor(max_batch) as threads:
        while chunk := list(islice(remaining, max_batch)):
            opened = threads.map(lambda path: _open(path, bundle, decoders, max_bytes), chunk)
            yield from _decide_all(list(opened), bundle, rules, max_batch)


def _decide_all(files: Sequence[FileScan], bundle: Any, rules: Rules, max_batch: int) -> Iterator[FileScan]:
    """Decide those that were read, and yield the others as they are."""
    pictures = [prepared for file in files if file.look is not None for prepared in file.look.pictures]
    scores = _score(pictures, bundle, max_batch)
    for file in files:
        yield file if file.look is None else _decided(file, file.look, scores, bundle, rules)


def _score(pictures: Sequence[PreparedImage], bundle: Any, max_batch: int) -> Iterator[Any]:
    for begin in range(0, len(pictures), max_batch):
        yield from bundle.score(pictures[begin : begin + max_batch])


def _open(path: Path, bundle: Any, decoders: Decoders, max_bytes: int) -> FileScan:
    sha256 = None
    try:
        if path.stat().st_size > max_bytes:
            raise TooLargeError(f"{path.stat().st_size} bytes, the limit is {max_bytes}")
        data = path.read_bytes()
        facts = decoders.read(data, _nothing)
        sha256 = facts.sha256
        look = decoders.look(data, bundle.plans, _nothing)
    except PermanentError as error:
        return FileScan(path, sha256, error.reason, error.detail)
    except OSError as error:
        return FileScan(path, sha256, Reason.GONE, error.strerror or str(error))
    return FileScan(path, sha256, look=look, provenance=facts.provenance)


def _nothing(_stage: str, _ms: float) -> None:
    """Observe nothing."""


def _decided(scan: FileScan, look: Look, scored: Iterator[Any], bundle: Any, rules: Rules) -> FileScan:
    """Take the next scores for the pictures of a look, and decide."""
    scores, *others = islice(scored, len(look.pictures))
    frames = weigh_frames(look, [one.probability for one in (scores, *others)])
    provenance = scan.provenance or Provenance()
    gravest = None if frames is None else frames.gravest.probability
    decision = decide(scores.probability, rules, bundle.figures, provenance, gravest)
    return replace(scan, scores=scores, frames=frames, decision=decision)
