"""Heatmaps in the artifact bucket: drawn by the batcher's thread, stored as overlay and raw map, copied for duplicates.

Every image has its own objects, also where another image of the same bytes has equal ones: they go when it is erased.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from PIL import Image as Pixels

from worker.database.scans import Lease
from worker.decoders.look import Look
from worker.objects.versions import ObjectVersion
from worker.scan.micro_batcher import MicroBatcher

_TYPES = {"key": "image/png", "raw_key": "application/octet-stream"}
_MOST_BYTES = 32 * 1024 * 1024


class Objects(Protocol):
    """What evidence needs of :class:`~worker.objects.object_store.ObjectStore`."""

    def put(self, bucket: str, key: str, body: bytes, content_type: str) -> ObjectVersion:
        """Write an object."""

    def read(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return the bytes of an object as it is now."""


class Evidence:
    """Makes heatmaps and says how the tables name them: columns of :class:`~worker.database.tables.Heatmap`."""

    def __init__(
        self,
        *,
        objects: Objects,
        batcher: MicroBatcher,
        overlay: Callable[[Pixels.Image, Any, float], bytes],
        raw: Callable[[Any], bytes],
        bucket: str,
    ) -> None:
        """Keep the parts.

        Args:
            objects: the object store.
            batcher: owns the device.
            overlay: image, heatmap and probability to PNG.
            raw: heatmap to .npy.
            bucket: the artifact bucket.
        """
        self._objects = objects
        self._batcher = batcher
        self._overlay = overlay
        self._raw = raw
        self._bucket = bucket

    def draw(self, lease: Lease, bundle: Any, look: Look, probability: float) -> list[dict[str, Any]]:
        """Explain an image that was looked at, one heatmap for each detector."""
        maps = self._batcher(bundle.heatmaps, look.prepared, alone=lease.suspect, bulk=lease.bulk)
        rows = []
        for detector, heatmap in maps.items():
            keys = _keys(lease, detector)
            bodies = {"key": self._overlay(look.preview, heatmap, probability), "raw_key": self._raw(heatmap)}
            for name, body in bodies.items():
                self._objects.put(self._bucket, keys[name], body, _TYPES[name])
            named = {"detector": detector, "method": heatmap.method, "layer": heatmap.layer}
            rows.append({**named, **keys, "bundle_version": lease.bundle_version})
        return rows

    def copy(self, lease: Lease, heatmaps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Copy the heatmaps of another image of the same bytes."""
        rows = []
        for heatmap in heatmaps:
            keys = {name: key for name, key in _keys(lease, heatmap["detector"]).items() if heatmap[name]}
            for name, key in keys.items():
                body = self._objects.read(self._bucket, heatmap[name], max_bytes=_MOST_BYTES)
                self._objects.put(self._bucket, key, body, _TYPES[name])
            rows.append({**heatmap, **keys})
        return rows

    def put_frame(self, lease: Lease, preview: Pixels.Image) -> str:
        """Store a picture of an animation's gravest frame, and return its key."""
        buffer = io.BytesIO()
        preview.save(buffer, "PNG")
        return self._put_frame(lease, buffer.getvalue())

    def copy_frame(self, lease: Lease, key: str) -> str:
        """Copy the picture of the gravest frame of another image of the same bytes, and return its key."""
        return self._put_frame(lease, self._objects.read(self._bucket, key, max_bytes=_MOST_BYTES))

    def _put_frame(self, lease: Lease, body: bytes) -> str:
        key = f"{_folder(lease)}/frame.png"
        self._objects.put(self._bucket, key, body, "image/png")
        return key


def _folder(lease: Lease) -> str:
    return f"heatmaps/{lease.image.id}/{lease.scan_id}"


def _keys(lease: Lease, detector: str) -> dict[str, str]:
    stem = f"{_folder(lease)}/{detector}"
    return {"key": f"{stem}.png", "raw_key": f"{stem}.npy"}
