"""Scans files on disk with a bundle alone: no queue, no database, no network, the same result every time."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from worker.decisions.policy import Rules
from worker.decisions.verdict import Decision, decide
from worker.errors import PermanentError, Reason, TooLargeError
from worker.images.decode import decode
from worker.provenance.findings import Provenance
from worker.provenance.reading import ReadManifest, read_provenance


@dataclass(frozen=True)
class FileScan:
    """What was found of one file; fields are empty where the file was rejected."""

    path: Path
    sha256: str | None
    reason: Reason | None = None
    detail: str | None = None
    image: Image.Image | None = None  # kept for overlays
    prepared: Any = None
    provenance: Provenance | None = None
    scores: Any = None
    decision: Decision | None = None

    def as_json(self, bundle_version: str) -> dict[str, Any]:
        """Return the line that ``assay scan --json`` prints."""
        scores, decision = self.scores, self.decision
        detectors = {
            name: {"logit": round(logit, 4), "probability": round(scores.probabilities[name], 6)}
            for name, logit in (scores.logits if scores else {}).items()
        }
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "state": "completed" if decision else "rejected",
            "reason": self.reason,
            "detail": self.detail,
            "verdict": decision.verdict if decision else None,
            "probability": round(decision.probability, 6) if decision else None,
            "decided_by": decision.decided_by if decision else None,
            "detectors": detectors,
            "provenance": self.provenance.as_json() if self.provenance else {},
            "bundle": bundle_version,
        }


def scan_files(
    paths: Iterable[Path],
    bundle: Any,
    rules: Rules,
    *,
    read_manifest: ReadManifest,
    max_batch: int,
    max_bytes: int,
    max_pixels: int,
) -> Iterator[FileScan]:
    """Yield one result for each path, in order.

    Args:
        paths: files; anything that is no good image is rejected with a reason.
        bundle: a loaded :class:`~worker.bundles.loaded.Bundle`.
        rules: budgets that thresholds follow from.
        read_manifest: reads and verifies a file's C2PA manifest.
        max_batch: most images in one forward pass.
        max_bytes: largest file read.
        max_pixels: most pixels decoded.
    """
    remaining = iter(paths)
    while chunk := list(islice(remaining, max_batch)):
        opened = [_open(path, bundle, read_manifest, max_bytes, max_pixels) for path in chunk]
        good = [found for found in opened if found.reason is None]
        scored = iter(bundle.score([found.prepared for found in good]) if good else [])
        for found in opened:
            yield found if found.reason else _decided(found, next(scored), bundle, rules)


def _open(path: Path, bundle: Any, read_manifest: ReadManifest, max_bytes: int, max_pixels: int) -> FileScan:
    sha256 = None
    try:
        if path.stat().st_size > max_bytes:
            raise TooLargeError(f"{path.stat().st_size} bytes, the limit is {max_bytes}")
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        image = decode(data, max_pixels=max_pixels).image
    except PermanentError as error:
        return FileScan(path, sha256, error.reason, error.detail)
    except OSError as error:
        return FileScan(path, sha256, Reason.GONE, error.strerror or str(error))
    provenance = read_provenance(data, read_manifest)
    return FileScan(path, sha256, image=image, prepared=bundle.prepare(image), provenance=provenance)


def _decided(found: FileScan, scores: Any, bundle: Any, rules: Rules) -> FileScan:
    provenance = found.provenance or Provenance()
    decision = decide(scores.probability, rules, bundle.figures, provenance)
    return FileScan(**{**vars(found), "scores": scores, "decision": decision})
