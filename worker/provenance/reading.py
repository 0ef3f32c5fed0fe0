"""From a file's bytes to its provenance."""

from collections.abc import Callable, Sequence

from worker.provenance.c2pa_manifest import has_traces
from worker.provenance.declared import Mark, find_marks, marks_of_bytes
from worker.provenance.findings import Declaration, DeclarationKind, Manifest, Provenance, Says, SignatureState, shown
from worker.provenance.metadata import beside_pixels
from worker.provenance.reader import read_texts
from worker.provenance.texts import Text

ReadManifest = Callable[[bytes], Manifest]


def read_provenance(data: bytes, read_manifest: ReadManifest, *, open_it: bool = True) -> Provenance:
    """Read what a file says of its origin; never raises on junk.

    Args:
        data: the whole file.
        read_manifest: reads and verifies the C2PA manifest of a file that looks as if it had one:
            :func:`~worker.provenance.c2pa_manifest.read_manifest` with its trust anchors, or the same in a process.
        open_it: also read the file's texts; not for a file that may crash its readers.
    """
    beside = beside_pixels(data)
    texts = read_texts(data) if open_it else []
    manifest = read_manifest(data) if has_traces(beside) else None
    marks = _with_bytes(find_marks(texts), beside)
    return Provenance(
        tags=tuple(mark.tag for mark in marks),
        manifest=manifest,
        camera=shown(_camera(texts)),
        software=shown(_first(texts, "Software")),
        declaration=_gravest(manifest, marks),
        marks=tuple(shown_mark(mark.declaration) for mark in marks),
    )


def shown_mark(declaration: Declaration) -> Declaration:
    """Return a declaration whose words, which come from the file, may be stored and shown."""
    return Declaration(declaration.strong, declaration.kind, shown(declaration.tool), shown(declaration.where))


def _with_bytes(marks: tuple[Mark, ...], beside: bytes) -> tuple[Mark, ...]:
    """Add what bytes alone hold of marks that no text had; a text's own words are not counted twice."""
    if marks:
        return marks
    return marks_of_bytes(beside)


def _gravest(manifest: Manifest | None, marks: Sequence[Mark]) -> Declaration | None:
    """Return the gravest statement without trust that the picture is AI; of a trusted manifest none is needed."""
    declared = [shown_mark(mark.declaration) for mark in marks]
    if manifest is not None and manifest.state is SignatureState.TAMPERED:
        return None
    if manifest is not None and manifest.state is SignatureState.UNTRUSTED:
        whole = manifest.says is Says.AI_GENERATED
        if whole or manifest.says is Says.PARTLY_AI:
            declared.append(Declaration(whole, DeclarationKind.C2PA, manifest.generator, "C2PA manifest"))
    return min(declared, key=lambda one: not one.strong, default=None)


def _camera(texts: Sequence[Text]) -> str | None:
    """Return maker and model; ComfyUI keeps its graphs in those fields, and no camera is called so."""
    named = [text.value for text in texts if text.carrier == "EXIF" and text.name in {"Make", "Model"}]
    return " ".join(value for value in named if "{" not in value) or None


def _first(texts: Sequence[Text], name: str) -> str | None:
    return next((text.value for text in texts if text.name == name), None)
