"""A fault and its images: put before it, during it and after it, and counted until each has ended."""

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

from PIL import Image

from infra.chaos.deployment import Deployment, DeploymentError
from infra.chaos.local import LocalStack
from worker.errors import TransientError

INNOCENT = frozenset({"completed"})
# An object that is deleted or overwritten may be gone before a worker reads it, or before its event is read.
_UNKNOWN = "unknown"
MAY_BE_GONE = frozenset({"completed", "rejected:gone", _UNKNOWN})
BOMB = frozenset({"rejected:too_complex", "rejected:too_many_pixels"})
_POLL_SECONDS = 0.1
_PUT_SECONDS = 0.15


@dataclass(frozen=True)
class Report:
    """What became of the images of one fault.

    Attributes:
        fault: its name.
        images: how many were put.
        verdicts: how many live scans of their newest versions completed.
        lost: images without the end they should have.
        doubled: scans with more than one verdict.
        dead: scans that were given up.
        recovery_s: seconds from the fault's end until all that was put by then, and two images more, had ended.
        missing: the first of the lost, and how they stand.
    """

    fault: str
    images: int
    verdicts: int
    lost: int
    doubled: int
    dead: int
    recovery_s: float
    missing: list[str] = field(default_factory=list)


class Scene:
    """What a fault is struck with: the deployment, the local stack where there is one, chance, and images."""

    def __init__(self, fault: str, deployment: Deployment, local: LocalStack | None, random: Random) -> None:
        self.fault = fault
        self.deployment = deployment
        self.random = random
        self._local = local
        self._run = f"chaos/{random.getrandbits(48):012x}"
        self.expected: dict[str, frozenset[str]] = {}

    @property
    def local(self) -> LocalStack:
        """The stack on this machine; only faults that need one ask for it."""
        if self._local is None:
            raise DeploymentError(f"{self.fault} needs the stack on this machine")
        return self._local

    def put(self, count: int = 1, endings: frozenset[str] = INNOCENT, data: bytes | None = None) -> list[str]:
        """Put images, a picture of noise each unless data are given; return their ids."""
        ids = [self.name(endings) for _ in range(count)]
        for image_id in ids:
            self.deployment.put(image_id, data or self.picture())
        return ids

    def upload(self) -> None:
        """Upload an image through the API."""
        self.deployment.upload(self.name(INNOCENT), self.picture())

    def name(self, endings: frozenset[str]) -> str:
        """Return the id of a new image that shall end in one of these ways."""
        image_id = f"{self._run}/{len(self.expected):04d}.jpg"
        self.expected[image_id] = endings
        return image_id

    def picture(self) -> bytes:
        """Make a JPEG that no other is equal to."""
        noise = self.random.randbytes(32 * 32 * 3)
        with io.BytesIO() as file:
            Image.frombytes("RGB", (32, 32), noise).resize((64, 64)).save(file, "JPEG", quality=85)
            return file.getvalue()

    def has_ended(self) -> bool:
        """Tell whether all images that were put have ended; False while the database is away."""
        try:
            return self._each_has_its_end() and self.deployment.open_scans(self.expected) == 0
        except TransientError:
            return False

    def live_scans_have_ended(self) -> bool:
        """Tell whether what is served has ended, where challengers may not be there to scan in shadow."""
        try:
            return self._each_has_its_end()
        except TransientError:
            return False

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds; tell whether it came to that."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def count(self, recovery_s: float) -> Report:
        """Count what became of the images."""
        actual = self.deployment.endings(self.expected)
        newest = {image_id: versions[0].outcome for image_id, versions in actual.items()}
        wrong = [
            f"{image_id}: {newest.get(image_id, _UNKNOWN)}"
            for image_id, endings in self.expected.items()
            if newest.get(image_id, _UNKNOWN) not in endings
            or any(older.outcome not in MAY_BE_GONE | endings for older in actual.get(image_id, ())[1:])
        ]
        return Report(
            self.fault,
            images=len(self.expected),
            verdicts=sum(outcome == "completed" for outcome in newest.values()),
            lost=len(wrong),
            doubled=self.deployment.count_doubles(self.expected),
            dead=sum(one.outcome.startswith("dead") for versions in actual.values() for one in versions),
            recovery_s=round(recovery_s, 1),
            missing=wrong[:5],
        )

    def _each_has_its_end(self) -> bool:
        actual = self.deployment.endings(self.expected)
        certain = {image_id for image_id, endings in self.expected.items() if _UNKNOWN not in endings}
        return certain <= actual.keys() and all(one.ended for versions in actual.values() for one in versions)

    def some_ended(self) -> bool:
        """Tell whether the first images have their verdicts, so that others are under way."""
        try:
            return sum(versions[0].ended for versions in self.deployment.endings(self.expected).values()) > 0
        except TransientError:
            return False


def strike(scene: Scene, act: Callable[[Scene], None], images: int, patience: float) -> Report:
    """Strike a fault while images pour in, and count.

    Args:
        scene: fresh, with no images.
        act: strikes; returns once the fault is over.
        images: how many are put beside those that the fault puts itself.
        patience: seconds after which an image that has not ended is lost.
    """
    with ThreadPoolExecutor(1) as platform:
        pouring = platform.submit(_pour, scene, images)
        scene.wait(scene.some_ended, patience)
        act(scene)
        over = time.monotonic()
        scene.put(2)
        scene.wait(scene.has_ended, patience)
        recovery = time.monotonic() - over
        pouring.result()
    scene.wait(scene.has_ended, patience)
    return scene.count(recovery)


def _pour(scene: Scene, images: int) -> None:
    for number in range(images):
        # Every fourth comes by the API, which may be away, is asked again, and must take it once.
        scene.upload() if number % 4 == 3 else scene.put()  # noqa: PLR2004
        if number >= images // 2:
            time.sleep(_PUT_SECONDS)
