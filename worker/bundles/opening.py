"""How a process loads bundles: on which device, with which encoders, run by which engines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.bundles.encoders.folder import EncoderFolder
from worker.bundles.engines import EnginePlan, choose_engines
from worker.bundles.loaded import Bundle, load_bundle
from worker.cores import cores

if TYPE_CHECKING:
    from pathlib import Path

    from worker.settings import Settings


@dataclass(frozen=True)
class Opening:
    """Loads bundles as a process wants them.

    Attributes:
        device: a torch device.
        encoders: where encoders lie.
        engines: how detectors may be run.
        most_views: of an image for an encoder detector; 0 for as many as it was made for.
    """

    device: str = "cpu"
    encoders: EncoderFolder = field(default_factory=EncoderFolder)
    engines: EnginePlan = field(default_factory=EnginePlan)
    most_views: int = 0

    def load(self, folder: Path) -> Bundle:
        """Load the bundle in a folder, run by eager torch; raises as `load_bundle`."""
        return load_bundle(folder, self.device, self.encoders, self.most_views)

    def choose_engines(self, bundle: Bundle) -> None:
        """Give the bundle's detectors their engines; on a GPU by the thread that owns it."""
        choose_engines(bundle, self.engines)

    def open(self, folder: Path) -> Bundle:
        """Load a bundle and give it its engines, for a process with one thread."""
        bundle = self.load(folder)
        self.choose_engines(bundle)
        return bundle


def opening(settings: Settings, device: str) -> Opening:
    """Return how this process loads bundles."""
    cache = settings.engine_cache_dir or settings.data_dir / "engine"
    engines = EnginePlan(settings.engine, cache, settings.torch_threads or cores())
    return Opening(device, EncoderFolder(settings.encoders_dir), engines, settings.most_views)
