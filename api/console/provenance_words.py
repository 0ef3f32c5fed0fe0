"""What a file says of its origin, told in plain words and in the order in which it came about. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from worker.provenance.findings import Declaration, DeclarationKind, Manifest, Provenance, Says, SignatureState

_SAYS = {
    Says.AI_GENERATED: "It says that a generative model made the whole picture.",
    Says.PARTLY_AI: "It says that a generative model had a part in the picture.",
    Says.CAPTURED: "It says that a camera took the picture.",
    None: "It says nothing of how the picture came about.",
}
_BELIEVED = {
    SignatureState.TRUSTED: "The signature holds, and a certificate that you trust vouches for the signer.",
    SignatureState.UNTRUSTED: "The file is as it was signed, but no certificate that you trust vouches for the signer.",
    SignatureState.TAMPERED: "The file was changed after it was signed, or the manifest is damaged. It proves nothing.",
}
_CARRIERS = {
    DeclarationKind.C2PA: "a manifest whose signer nobody vouches for",
    DeclarationKind.IPTC: "its IPTC or XMP metadata",
    DeclarationKind.TC260: "a label by China's GB 45438",
    DeclarationKind.GENERATOR: "the parameters that a generator writes",
}


@dataclass(frozen=True)
class Step:
    """One step of a picture's way as far as it is known.

    Attributes:
        title: what happened.
        text: what that is worth.
        at: when; None where nobody recorded it.
        believed: whether a trusted signature or Assay itself stands behind it; None where it is neither good nor bad.
    """

    title: str
    text: str
    at: datetime | None = None
    believed: bool | None = None


def steps_of(provenance: Provenance, stored_at: datetime | None, judged_at: datetime | None) -> list[Step]:
    """Return the steps of a picture's way, the earliest first.

    Args:
        provenance: what its file says.
        stored_at: when the object store took it in.
        judged_at: when Assay read the file.
    """
    steps = [*_from_metadata(provenance), *_from_manifest(provenance.manifest)]
    if not steps:
        return []
    arrived = Step("It arrived", "From here on Assay knows the file itself.", stored_at, believed=True)
    return [*steps, arrived, *_from_reading(provenance, judged_at)]


def _from_metadata(provenance: Provenance) -> Iterator[Step]:
    forgeable = "Anybody can write this into a file."
    if provenance.camera:
        yield Step(f"EXIF names the camera {provenance.camera}", forgeable)
    if provenance.software:
        yield Step(f"Metadata name the program {provenance.software}", forgeable)
    for mark in provenance.marks:
        yield Step(_declared(mark), forgeable)


def _declared(mark: Declaration) -> str:
    tool = f" with {mark.tool}" if mark.tool else ""
    where = f" ({mark.where})" if mark.where else ""
    return f"The file calls itself AI-generated{tool}, in {_CARRIERS[mark.kind]}{where}"


def _from_manifest(manifest: Manifest | None) -> Iterator[Step]:
    if manifest is None:
        return
    believed = manifest.state is SignatureState.TRUSTED
    if manifest.generator:
        yield Step(f"{manifest.generator} wrote a C2PA manifest", _SAYS[manifest.says], believed=believed or None)
    signer = manifest.signer or "somebody whom the certificate does not name"
    says = "" if manifest.generator else f"{_SAYS[manifest.says]} "
    yield Step(f"Signed by {signer}", says + _BELIEVED[manifest.state], believed=believed)


def _from_reading(provenance: Provenance, judged_at: datetime | None) -> Iterator[Step]:
    problems = provenance.manifest.problems if provenance.manifest else ()
    faults = "; ".join(problems)
    if provenance.manifest is None:
        yield Step("Assay read the file", "It has no signature.", judged_at)
    elif problems:
        yield Step("Assay checked the signature", f"It found: {faults}.", judged_at, believed=False)
    else:
        yield Step("Assay checked the signature", "It found nothing wrong.", judged_at, believed=True)
