"""A worker of fakes for the tests of the story, and pictures whose brightness is their verdict."""

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from PIL import Image

from worker.errors import CrashesDecoderError
from worker.images.decode import Decoded, decode
from worker.provenance.c2pa_manifest import read_manifest
from worker.provenance.reading import ReadManifest
from worker.scan.collaborators import Decode
from worker.scan.heatmap_files import Evidence
from worker.scan.micro_batcher import MicroBatcher
from worker.scan.retries import RetryPolicy
from worker.scan.scan_image import ScanImage
from worker.testing.fakes import FakeBundle, FakeClock, FakeObjects, FakeScan, FakeScans

UPLOADS, ARTIFACTS = "uploads", "artifacts"
FLAGGED, CLEAR, BETWEEN = 250, 20, 122


def grey(brightness: int, size: tuple[int, int] = (32, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, brightness).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Bundles:
    bundle: FakeBundle = field(default_factory=FakeBundle)
    trouble: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def get(self, version: str) -> FakeBundle:
        self.asked.append(version)
        if self.trouble:
            raise self.trouble
        return self.bundle


def decode_in_process(data: bytes, *, suspect: bool) -> Decoded:
    if suspect and data == grey(FLAGGED, (13, 13)):
        raise CrashesDecoderError
    return decode(data, max_pixels=1_000_000)


trusting_nobody = partial(read_manifest, anchors="")


def overlay(pixels: Image.Image, _heatmap: Any, probability: float) -> bytes:
    return f"{pixels.size} {probability:.2f}".encode()


@dataclass
class World:
    """A worker of fakes around a real micro-batcher."""

    max_batch: int = 4
    make_heatmaps: bool = True
    keep_features: bool = True
    batcher: Any = None
    overlay: Callable[[Image.Image, Any, float], bytes] = overlay
    decode: Decode = decode_in_process
    read_manifest: ReadManifest = trusting_nobody
    turns: Any = field(default_factory=lambda: threading.BoundedSemaphore(2))
    scans: FakeScans = field(default_factory=FakeScans)
    objects: FakeObjects = field(default_factory=lambda: FakeObjects(versioned=[UPLOADS]))
    bundles: Bundles = field(default_factory=Bundles)
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Wire the story to the fakes."""
        self.real_batcher = MicroBatcher(
            max_batch=self.max_batch,
            max_wait_seconds=0,
            timeout_seconds=10,
            monotonic=FakeClock(),
            is_out_of_memory=lambda error: isinstance(error, MemoryError),
        )
        batcher = self.batcher or self.real_batcher
        evidence = Evidence(
            objects=self.objects, batcher=batcher, overlay=self.overlay, raw=lambda _: b"raw", bucket=ARTIFACTS
        )
        self.scan_image = ScanImage(
            scans=self.scans,
            objects=self.objects,
            decode=self.decode,
            read_manifest=self.read_manifest,
            turns=self.turns,
            bundles=self.bundles,
            batcher=batcher,
            originals=self.scans,
            evidence=evidence,
            recall=self.scans.recall,
            keep_features=self.keep_features,
            lease_seconds=60,
            max_bytes=100_000,
            retries=RetryPolicy(max_attempts=3, base_seconds=2, max_seconds=300),
            make_heatmaps=self.make_heatmaps,
            monotonic=FakeClock(),
            end_process=lambda: self.ended.append("ended"),
        )

    def upload(self, body: bytes, key: str = "a.png", **options: Any) -> int:
        return self.scans.add(UPLOADS, key, self.objects.put(UPLOADS, key, body), **options)

    def upload_before(self, trouble: Exception) -> int:
        """Upload, and let the store be in trouble from then on."""
        scan_id = self.upload(grey(CLEAR))
        self.objects.trouble = trouble
        return scan_id

    def scan(self, scan_id: int) -> FakeScan:
        self.scan_image(scan_id)
        return self.scans.scans[scan_id]
