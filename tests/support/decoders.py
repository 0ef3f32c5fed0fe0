"""Decoders in this very process, for tests: the same work as a decoder process, without its limits."""

from collections.abc import Callable, Mapping

from worker.decoders.look import FileFacts, Look, look_at, read_file
from worker.images.views import ViewPlan
from worker.provenance.c2pa_manifest import read_manifest


class LocalDecoders:
    """Reads files and looks at images where it is called; ``before`` is called with the data of each."""

    def __init__(
        self,
        *,
        anchors: str = "",
        max_pixels: int = 1_000_000,
        most_frames: int = 8,
        before: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self._anchors = anchors
        self._limits = {"max_pixels": max_pixels, "most_frames": most_frames}
        self._before = before

    def read(
        self, data: bytes, observe: Callable[[str, float], None] = lambda *_: None, *, bulk: bool = False
    ) -> FileFacts:
        """Hash a file and read its provenance."""
        del bulk
        self._before(data)
        observe("provenance", 0.0)
        return read_file(data, lambda block: read_manifest(block, self._anchors))

    def look(
        self,
        data: bytes,
        plans: Mapping[str, ViewPlan],
        observe: Callable[[str, float], None] = lambda *_: None,
        *,
        bulk: bool = False,
    ) -> Look:
        """Decode an image and cut its views."""
        del bulk
        self._before(data)
        return look_at(data, plans, **self._limits, end_stage=lambda name: observe(name, 0.0))
