"""Builds the decoder processes from settings; whoever scans files without a worker does it alike."""

from worker.cores import cores
from worker.decoders.pool import DecoderPool
from worker.decoders.process import Limits
from worker.provenance.anchors import read_anchors
from worker.settings import Settings


def decoder_pool(settings: Settings) -> DecoderPool:
    """Return one decoder process for each core, at least two; nothing has started yet.

    Raises:
        TrustAnchorsError: the trust anchors cannot be read.
    """
    limits = Limits(
        max_pixels=settings.max_image_pixels,
        most_frames=settings.animation_frames,
        cpu_seconds=settings.decode_cpu_seconds,
        wall_seconds=settings.decode_timeout_seconds,
        memory_bytes=settings.decode_memory_bytes,
    )
    return DecoderPool(max(2, cores()), limits, read_anchors(settings.c2pa_trust_anchors, settings.data_dir / "trust"))
