"""Reads an image's file: its bytes from the object store, hash and provenance by a decoder process."""

from dataclasses import dataclass

from worker.database.tables import Image
from worker.decoders.look import FileFacts
from worker.scan.collaborators import Decoders, Objects
from worker.scan.retries import Stopwatch


@dataclass(frozen=True)
class ReadFile:
    """An image's file, before anybody looks at its pixels.

    Attributes:
        data: the whole file.
        facts: its hash, its length and what it says of its own origin.
    """

    data: bytes
    facts: FileFacts


class FileReader:
    """Reads exactly the version of an image that its scan was made for."""

    def __init__(self, *, objects: Objects, decoders: Decoders, max_bytes: int) -> None:
        self._objects = objects
        self._decoders = decoders
        self._max_bytes = max_bytes

    def __call__(self, image: Image, watch: Stopwatch, *, bulk: bool = False) -> ReadFile:
        """Read a file; one of history (`bulk`) waits for decoders until no other does.

        Raises:
            PermanentError: it is gone, too large, or more complex than any picture.
            TransientError: the store does not answer.
        """
        data = self.fetch(image, watch)
        with watch.stage("read"):
            return ReadFile(data, self._decoders.read(data, watch.note, bulk=bulk))

    def fetch(self, image: Image, watch: Stopwatch) -> bytes:
        """Return the bytes alone; raises as above."""
        with watch.stage("fetch"):
            return self._objects.fetch(
                image.bucket, image.key, image.version, versioned=image.versioned, max_bytes=self._max_bytes
            )
