"""From a file's bytes to its provenance."""

from collections.abc import Callable

from worker.provenance.c2pa_manifest import has_traces
from worker.provenance.declared import declared_tags
from worker.provenance.findings import Manifest, Provenance, shown
from worker.provenance.metadata import Words, beside_pixels, read_words

ReadManifest = Callable[[bytes], Manifest]


def read_provenance(data: bytes, read_manifest: ReadManifest, *, open_it: bool = True) -> Provenance:
    """Read what a file says of its origin; never raises on junk.

    Args:
        data: the whole file.
        read_manifest: reads and verifies the C2PA manifest of a file that looks as if it had one:
            :func:`~worker.provenance.c2pa_manifest.read_manifest` with its trust anchors, or the same in a process.
        open_it: also let Pillow read the file's texts; not for a file that may crash its readers.
    """
    beside = beside_pixels(data)
    words = read_words(data) if open_it else Words({})
    return Provenance(
        tags=declared_tags(beside, words.texts),
        manifest=read_manifest(data) if has_traces(beside) else None,
        camera=shown(words.camera),
        software=shown(words.software),
    )
