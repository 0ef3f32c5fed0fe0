"""What the servers of all peers do alike: open the bundle, decode an upload, and score a batch."""

import argparse
from collections.abc import Mapping, Sequence

from worker.bundles.folder import read_bundle
from worker.bundles.loaded import Bundle, PreparedImage, shipped_bundle
from worker.bundles.opening import opening
from worker.detectors.device import pick_device, set_threads
from worker.freed_memory import share_freed_memory
from worker.images.decode import decode
from worker.images.views import ViewPlan, prepare
from worker.settings import Settings

# The worker's own default, so that no peer has larger batches than Assay.
BATCH = 16
# How long a batch waits for company: mosec's default, for all.
WAIT_SECONDS = 0.01
# Requests that wait behind 47 others on a busy machine must not time out.
TIMEOUT_SECONDS = 300


def open_bundle() -> Bundle:
    """Load the bundle with its engines as the bare loop does, once in the process that owns the detectors."""
    settings = Settings()
    share_freed_memory()
    set_threads(settings.torch_threads)
    bundle = opening(settings, pick_device(settings.device)).open(shipped_bundle(settings.bundle))
    bundle.warm_up(BATCH)
    return bundle


def read_plans() -> dict[str, ViewPlan]:
    """Return the bundle's view plans without its networks, for processes that only decode."""
    settings = Settings()
    # Freed pixels stay with the process, as in the process that scores.
    share_freed_memory()
    return {name: part.plan for name, part in read_bundle(shipped_bundle(settings.bundle)).detectors.items()}


def prepare_upload(data: bytes, plans: Mapping[str, ViewPlan]) -> PreparedImage:
    """Decode an upload and cut its views; the same that `Bundle.prepare` does."""
    return prepare(decode(data, max_pixels=Settings().max_image_pixels).image, plans)


def score_batch(bundle: Bundle, batch: Sequence[PreparedImage]) -> list[dict[str, float]]:
    """Score a batch, and return the answer to each request."""
    return [{"probability": float(scores.probability)} for scores in bundle.score(batch)]


def read_port() -> int:
    """Return the port of this server's command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    return port
