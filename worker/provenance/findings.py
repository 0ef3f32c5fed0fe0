"""What was found of an image's origin. Plain values: whoever stores or shows them needs no parser."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_LONGEST = 120
_UNSEEN = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0001fffd]+")


class SignatureState(StrEnum):
    """How far a C2PA manifest can be believed."""

    TRUSTED = "trusted"  # whole, and signed by someone whom a configured trust anchor vouches for
    UNTRUSTED = "untrusted"  # whole, and signed by somebody for whom we cannot vouch
    TAMPERED = "tampered"  # changed since it was signed, damaged, or more than we are willing to read


class Says(StrEnum):
    """What a manifest says of how the picture came about."""

    AI_GENERATED = "ai_generated"  # the picture as a whole came out of a generative model
    PARTLY_AI = "partly_ai"  # a generative model had a part in it
    CAPTURED = "captured"  # a camera took it


@dataclass(frozen=True)
class Manifest:
    """A C2PA manifest as it was found in a file.

    Attributes:
        state: how far it can be believed.
        says: how the picture came about, None where it says nothing of that.
        signer: whose certificate signed it, for people; None where nobody can tell.
        generator: the program that made it, for people.
        problems: why it is not trusted, in plain words, with C2PA's status codes.
    """

    state: SignatureState
    says: Says | None = None
    signer: str | None = None
    generator: str | None = None
    problems: tuple[str, ...] = ()


class DeclarationKind(StrEnum):
    """What carries a file's own statement that a generative model made the picture."""

    C2PA = "c2pa"  # a manifest whose signer nobody vouches for
    IPTC = "iptc"  # the digital source type in XMP or IPTC
    TC260 = "tc260"  # China's label by GB 45438
    GENERATOR = "generator"  # the parameters that a generator writes of its own work


@dataclass(frozen=True)
class Declaration:
    """A file's own statement that a generative model made the picture; anybody can write one.

    Attributes:
        strong: it speaks of the whole picture in a form that generators write; a policy may let it decide.
        kind: what carries it.
        tool: the generator that it names, for people; None where it names none.
        where: the field that it stands in, for people, such as `PNG text "parameters"`.
    """

    strong: bool
    kind: DeclarationKind
    tool: str | None = None
    where: str | None = None


@dataclass(frozen=True)
class Provenance:
    """All that a file says of its origin.

    Attributes:
        tags: names of unsigned declarations that a generative model made the picture; anybody can write those.
        manifest: signed provenance, None where there is no trace of any.
        camera: the camera that EXIF names; weak, since anybody can write that as well.
        software: the program that EXIF or PNG text name.
        declaration: the gravest statement without trust that a generative model made the picture; None without any.
            A manifest that was tampered with states nothing.
        marks: every unsigned declaration and where it stands, the gravest first, one for each tag.
    """

    tags: tuple[str, ...] = ()
    manifest: Manifest | None = None
    camera: str | None = None
    software: str | None = None
    declaration: Declaration | None = None
    marks: tuple[Declaration, ...] = ()

    @property
    def decides(self) -> bool:
        """Tell whether a trusted signature says that the whole picture is AI-generated."""
        manifest = self.manifest
        return manifest is not None and (manifest.state, manifest.says) == (SignatureState.TRUSTED, Says.AI_GENERATED)

    @property
    def declares_ai(self) -> bool:
        """Tell whether anything, signed or not, says that a generative model had a part in the picture."""
        return (
            bool(self.tags)
            or self.declaration is not None
            or (self.manifest is not None and self.manifest.says in {Says.AI_GENERATED, Says.PARTLY_AI})
        )

    @property
    def strongly_declares(self) -> bool:
        """Tell whether the file says of the whole picture that it is AI-generated, as generators do."""
        return self.declaration is not None and self.declaration.strong

    @property
    def bars_clearing(self) -> bool:
        """Tell whether the image may not be cleared: it declares AI, or what it declared was tampered with."""
        return self.declares_ai or self.bars_clearing_by_itself

    @property
    def bars_clearing_by_itself(self) -> bool:
        """Tell whether it may not be cleared even where unsigned declarations count for nothing.

        A trusted signature says that AI had a part in it, or the manifest is broken: a few changed bytes may hit the
        very words that named AI, whatever is left of them.
        """
        broken = self.manifest is not None and self.manifest.state is SignatureState.TAMPERED
        return broken or self._signed_ai

    @property
    def _signed_ai(self) -> bool:
        manifest = self.manifest
        says_ai = {Says.AI_GENERATED, Says.PARTLY_AI}
        return manifest is not None and manifest.state is SignatureState.TRUSTED and manifest.says in says_ai

    def as_json(self) -> dict[str, object]:
        """Return it as stored with the verdict and shown by the API.

        `signed` says that a trusted signature stands behind it; `forgeable` that what declares AI has none, so that
        anybody could have written it.
        """
        trusted = self.manifest is not None and self.manifest.state is SignatureState.TRUSTED
        return {
            "declares_ai": self.declares_ai,
            "signed": trusted,
            "forgeable": self.declares_ai and not self._signed_ai,
            "tags": list(self.tags),
            "c2pa": manifest_json(self.manifest),
            "camera": self.camera,
            "software": self.software,
            "declaration": None if self.declaration is None else vars(self.declaration),
            "marks": [vars(mark) for mark in self.marks],
        }


def manifest_json(manifest: Manifest | None) -> dict[str, object] | None:
    """Return a manifest as plain values."""
    return None if manifest is None else {**vars(manifest), "problems": list(manifest.problems)}


def manifest_of(record: dict[str, object]) -> Manifest:
    """Return the manifest behind :func:`manifest_json`; raises ValueError, KeyError or TypeError for anything else."""
    says = record["says"]
    return Manifest(
        SignatureState(str(record["state"])),
        None if says is None else Says(str(says)),
        _text(record["signer"]),
        _text(record["generator"]),
        tuple(str(problem) for problem in _list(record["problems"])),
    )


def provenance_of(record: Mapping[str, Any]) -> Provenance:
    """Return the provenance behind :meth:`Provenance.as_json`, as far as it is recorded; of an erased image nothing."""
    manifest, declaration = record.get("c2pa"), record.get("declaration")
    return Provenance(
        tags=tuple(record.get("tags", ())),
        manifest=manifest and manifest_of(manifest),
        camera=record.get("camera"),
        software=record.get("software"),
        declaration=declaration and _declaration_of(declaration),
        marks=tuple(_declaration_of(mark) for mark in record.get("marks", ())),
    )


def _declaration_of(record: Mapping[str, Any]) -> Declaration:
    return Declaration(record["strong"], DeclarationKind(record["kind"]), record["tool"], record["where"])


def must_read_again(record: Mapping[str, Any]) -> bool:
    """Tell whether a record does not suffice to judge by, so that the file itself must be read.

    It must where it has a manifest, since whom we trust may have changed, where an older release recorded tags without
    their declaration, and where nothing is recorded.
    """
    return (
        record.get("c2pa") is not None or "tags" not in record or (bool(record["tags"]) and "declaration" not in record)
    )


def shown(text: object) -> str | None:
    """Return text from a file as it may be stored and shown: one short line of printable characters, None if empty."""
    line = _UNSEEN.sub(" ", text[: 4 * _LONGEST]).strip() if isinstance(text, str) else ""
    return line[:_LONGEST] or None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"no list: {value!r}")
    return value
