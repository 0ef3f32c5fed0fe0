"""A worker of fakes for the tests of the story, and pictures whose brightness is their verdict."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from tests.support.decoders import LocalDecoders
from tests.support.fakes import FakeBundle, FakeClock, FakeObjects, FakeScan, FakeScans
from worker.errors import CrashesDecoderError
from worker.scan.collaborators import Decoders
from worker.scan.end_of_scan import EndOfScan
from worker.scan.heatmap_files import Evidence
from worker.scan.leases import Leases
from worker.scan.micro_batcher import MicroBatcher
from worker.scan.read_file import FileReader
from worker.scan.retries import RetryPolicy
from worker.scan.scan_image import ScanImage
from worker.scan.score.by_memory import ByMemory
from worker.scan.score.by_pixels import ByPixels
from worker.scan.score.by_same_bytes import BySameBytes
from worker.scan.thumbnails import Thumbnails

UPLOADS, ARTIFACTS = "uploads", "artifacts"
FLAGGED, CLEAR, BETWEEN = 250, 20, 122


def grey(brightness: int, size: tuple[int, int] = (32, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, brightness).save(buffer, "PNG")
    return buffer.getvalue()


class EveryVersion(list[str]):
    """Versions of which none is lacking."""

    def __contains__(self, version: object) -> bool:
        """Hold whatever is asked for."""
        return True


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

    def ready(self) -> list[str]:
        return EveryVersion()

    def prepare(self, version: str) -> None:
        self.asked.append(version)


def crash(data: bytes) -> None:
    """Crash at one picture, as a decoder process would."""
    if data == grey(FLAGGED, (13, 13)):
        raise CrashesDecoderError


def overlay(pixels: Image.Image, _heatmap: Any, probability: float) -> bytes:
    return f"{pixels.size} {probability:.2f}".encode()


@dataclass
class OneByOne:
    """A batcher that hands each item to a function."""

    run: Callable[..., Any]

    def __call__(self, call: Any, item: Any, *, alone: bool = False, bulk: bool = False) -> Any:
        del bulk
        return self.run(call, item, alone=alone)

    def run_all(self, call: Any, items: Sequence[Any], *, alone: bool = False, bulk: bool = False) -> list[Any]:
        del bulk
        return [self(call, item, alone=alone) for item in items]


@dataclass
class World:
    """A worker of fakes around a real micro-batcher."""

    max_batch: int = 4
    make_heatmaps: bool = True
    keep_features: bool = True
    run: Callable[..., Any] | None = None
    overlay: Callable[[Image.Image, Any, float], bytes] = overlay
    decoders: Decoders = field(default_factory=lambda: LocalDecoders(before=crash))
    scans: FakeScans = field(default_factory=FakeScans)
    objects: FakeObjects = field(default_factory=lambda: FakeObjects(versioned=[UPLOADS]))
    bundles: Bundles = field(default_factory=Bundles)
    clock: FakeClock = field(default_factory=FakeClock)
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
        batcher: Any = OneByOne(self.run) if self.run else self.real_batcher
        evidence = Evidence(
            objects=self.objects, batcher=batcher, overlay=self.overlay, raw=lambda _: b"raw", bucket=ARTIFACTS
        )
        self.leases = Leases(self.scans, seconds=60, longest_stage=100, monotonic=self.clock, bundles=self.bundles)
        read_file = FileReader(objects=self.objects, decoders=self.decoders, max_bytes=100_000)
        thumbnails = Thumbnails(objects=self.objects, read_file=read_file, decoders=self.decoders, bucket=ARTIFACTS)
        self.scan_image = ScanImage(
            leases=self.leases,
            bundles=self.bundles,
            read_file=read_file,
            by_memory=ByMemory(recall=self.scans.recall, bundles=self.bundles, batcher=batcher),
            by_same_bytes=BySameBytes(originals=self.scans, evidence=evidence),
            by_pixels=ByPixels(
                decoders=self.decoders,
                batcher=batcher,
                evidence=evidence,
                thumbnails=thumbnails,
                keep_features=self.keep_features,
            ),
            thumbnails=thumbnails,
            end_of_scan=EndOfScan(
                scans=self.scans,
                retries=RetryPolicy(max_attempts=3, base_seconds=2, max_seconds=300),
                end_process=lambda: self.ended.append("ended"),
            ),
            make_heatmaps=self.make_heatmaps,
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
