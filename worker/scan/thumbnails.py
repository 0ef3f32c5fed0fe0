"""Thumbnails: small WebP pictures in the artifact bucket, for people who look at many images.

A decoder process opens the file and reduces it. What is written here are pixels, so nothing of a file that somebody
made with care gets this far.
"""

import io
from typing import Protocol

from PIL import Image as Pixels

from worker.database.scans import Lease
from worker.objects.versions import ObjectVersion
from worker.scan.collaborators import Decoders
from worker.scan.read_file import FileReader
from worker.scan.retries import Stopwatch

_TYPE = "image/webp"
_QUALITY = 78
_EFFORT = 2  # libwebp's own 4 takes 2.4 times as long, for files 4 % smaller


class Objects(Protocol):
    """What thumbnails need of :class:`~worker.objects.object_store.ObjectStore`."""

    def put(self, bucket: str, key: str, body: bytes, content_type: str) -> ObjectVersion:
        """Write an object."""


class Thumbnails:
    """Makes thumbnails and stores them."""

    def __init__(self, *, objects: Objects, read_file: FileReader, decoders: Decoders, bucket: str) -> None:
        """Keep the parts.

        Args:
            objects: the object store.
            read_file: reads an image's file.
            decoders: opens it.
            bucket: the artifact bucket.
        """
        self._objects = objects
        self._read_file = read_file
        self._decoders = decoders
        self._bucket = bucket

    def make(self, lease: Lease, watch: Stopwatch) -> str:
        """Read an image, store its thumbnail and return the key; raises PermanentError where it is no good image."""
        data = self._read_file.fetch(lease.image, watch)
        with watch.stage("look"):
            look = self._decoders.look(data, {}, watch.note)
        return self.put(lease, look.preview)

    def put(self, lease: Lease, preview: Pixels.Image) -> str:
        """Store the thumbnail of an image that was looked at, and return its key."""
        buffer = io.BytesIO()
        preview.save(buffer, "WEBP", quality=_QUALITY, method=_EFFORT)
        key = f"thumbnails/{lease.image.id}/{lease.scan_id}.webp"
        self._objects.put(self._bucket, key, buffer.getvalue(), _TYPE)
        return key
