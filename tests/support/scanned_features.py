"""What scans by the default bundle leave of images, without any image."""

import hashlib
from dataclasses import replace

import numpy as np

from training.retraining.gate_case import Origin
from training.retraining.refit import Samples
from training.retraining.refit_data import replayed
from worker.bundles.copies import REPLAY
from worker.bundles.folder import read_bundle
from worker.bundles.release import shipped_bundle

_MARKED = 40  # features that the generator changes


def seen_by_scans(count: int) -> Samples:
    """Make what scans by `wild` would have stored of images, half of them by a generator that it misses.

    They are the bundle's own photographs, and the same with a mark of the generator's on some of their features.
    """
    folder = shipped_bundle("wild")
    known = replayed(folder / REPLAY, (read_bundle(folder).version(),))
    assert known is not None
    rng = np.random.default_rng(7)
    rows = rng.choice(np.flatnonzero(known.labels == 0), count, replace=False)
    generated = np.arange(count) < count // 2
    spread = known.features.astype(np.float32).std(axis=0)
    mark = np.zeros(len(spread), np.float32)
    mark[rng.choice(len(mark), _MARKED, replace=False)] = 2.5
    noise = 0.05 * rng.standard_normal((count, len(spread)), dtype=np.float32)
    features = known.features[rows].astype(np.float32) + (generated[:, None] * mark + noise) * spread
    hashes = np.array([hashlib.sha256(f"upload {number}".encode()).hexdigest() for number in range(count)])
    found = known.take(rows)
    words = {
        "labels": generated.astype(np.int8),
        "sources": np.full(count, "uploads"),
        "generators": np.where(generated, "unknown", "real"),
        "origins": np.full(count, Origin.NEW.value, "U7"),
    }
    return replace(found, features=features.astype(np.float16), hashes=hashes, **words)
