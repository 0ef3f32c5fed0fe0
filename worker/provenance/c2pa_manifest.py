"""Signed provenance: the C2PA manifest of a file, read and verified by the C2PA's own library.

Each call has a context of its own, since the library's older settings belong to a thread; nothing is fetched from
anywhere. Reading is bounded by whoever calls: :mod:`worker.provenance.c2pa_process` does it in a killable process.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from c2pa import C2paError, Context, Reader

from worker.provenance.c2pa_codes import in_words, says_tampered
from worker.provenance.findings import Manifest, Says, SignatureState, shown

# Words of which every manifest holds dozens; a few stay whichever bytes are changed.
_TRACES = (b"c2pa", b"jumb")
_ENOUGH_TRACES = 4
# A manifest of more boxes takes quadratic time to verify; pictures have a few dozen.
_MOST_BOXES = 1500
_MOST_DECOMPRESSED_MB = 16
_TRAINED = "trainedAlgorithmicMedia"
_AI_PART = re.compile(r"digitalsourcetype/(?:trainedAlgorithmicMedia|compositeWithTrained\w+|compositeSynthetic)")
# An edit of this kind brings in what a camera took.
_WITH_CAPTURES = {"compositeCapture", "digitalCapture", "computationalCapture"}
_ADOBE = "com.adobe.generative-ai"
_CAMERA = ("digitalCapture", "computationalCapture")
# A parent of a parent of … more than this far is nobody's edit.
_DEEPEST = 32
_MOST_PROBLEMS = 5
# What a failure says that concerns whom we trust, not whether the file is whole.
_UNTRUSTED = "signingCredential.untrusted"


def has_traces(beside_pixels: bytes) -> bool:
    """Tell whether bytes of a file look as if a manifest stood there, whole or not."""
    return sum(beside_pixels.count(word) for word in _TRACES) >= _ENOUGH_TRACES


def read_manifest(data: bytes, anchors: str) -> Manifest:
    """Read and verify the manifest of a file that has traces of one; never raises on junk.

    Args:
        data: the whole file.
        anchors: PEM certificates of those whose signatures are trusted; empty trusts nobody.
    """
    if data.count(_TRACES[1]) > _MOST_BOXES:
        return Manifest(SignatureState.TAMPERED, problems=("too many parts to verify",))
    settings: dict[str, Any] = {
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
        **({"trust": {"trust_anchors": anchors}} if anchors else {}),
        "core": {"allowed_network_hosts": [], "max_decompressed_manifest_size_in_mb": _MOST_DECOMPRESSED_MB},
    }
    try:
        with Context.from_dict(settings) as context, Reader(_mime(data), io.BytesIO(data), context=context) as reader:
            report = reader.json()
        return summed_up(json.loads(report), report)
    except (C2paError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return Manifest(SignatureState.TAMPERED, problems=(shown(str(error)) or type(error).__name__,))


def summed_up(store: Mapping[str, Any], report: str) -> Manifest:
    """Sum up what the library says of a file's manifests.

    Args:
        store: the library's report.
        report: the same as text.

    Raises:
        LookupError, TypeError, AttributeError: the report is not of the form that the library documents.
    """
    active = store["manifests"][store["active_manifest"]]
    codes = [str(failure["code"]) for failure in _failures(store)]
    state = _state(store, codes)
    signature = active.get("signature_info") or {}
    generators = active.get("claim_generator_info") or [{}]
    return Manifest(
        state,
        _says(store, report, trusted=state is SignatureState.TRUSTED),
        _signer(signature),
        shown(generators[0].get("name") or active.get("claim_generator")),
        tuple(dict.fromkeys(in_words(code) for code in codes))[:_MOST_PROBLEMS],
    )


def _state(store: Mapping[str, Any], codes: Sequence[str]) -> SignatureState:
    """Tell a manifest that was changed, or hangs together no more, from one whose signer we cannot vouch for."""
    if store["validation_state"] == "Trusted":
        return SignatureState.TRUSTED
    valid = store["validation_state"] == "Valid"
    return SignatureState.UNTRUSTED if valid or (codes and not says_tampered(codes)) else SignatureState.TAMPERED


def _signer(signature: Mapping[str, Any]) -> str | None:
    names = dict.fromkeys(shown(signature.get(part)) for part in ("common_name", "issuer"))
    return shown(", ".join(name for name in names if name))


def _failures(store: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    results = (store.get("validation_results") or {}).get("activeManifest") or {}
    return results.get("failure") or []


def _says(store: Mapping[str, Any], report: str, *, trusted: bool) -> Says | None:
    """Return what the line of manifests from the active one back to its first parent says.

    That the whole picture is AI-generated counts only where it was made so, no other picture was placed into it
    since, and, if the active manifest is trusted, every signer on the way is. A platform's finishing (a visible
    watermark, another size or format) places no picture.
    """
    origin: str | None = None  # how the first parent was made
    mixed = False
    for action, kind in chain.from_iterable(map(_actions, _line(store, trusted=trusted))):
        if action == "c2pa.created":
            origin = kind
        else:
            mixed = mixed or _mixes(action, kind)
    if origin == _TRAINED and not mixed:
        return Says.AI_GENERATED
    if _AI_PART.search(report) or _ADOBE in report:
        return Says.PARTLY_AI
    return Says.CAPTURED if origin in _CAMERA else None


def _mixes(action: str | None, kind: str) -> bool:
    return action == "c2pa.placed" or kind in _WITH_CAPTURES


def _line(store: Mapping[str, Any], *, trusted: bool) -> Iterator[Mapping[str, Any]]:
    manifests, label = store["manifests"], store["active_manifest"]
    for _ in range(_DEEPEST):
        manifest = manifests[label]
        yield manifest
        parents = [one for one in manifest.get("ingredients") or [] if one.get("relationship") == "parentOf"]
        label = str(parents[0].get("active_manifest")) if len(parents) == 1 else ""
        if label not in manifests or (trusted and not _vouched(store, parents[0], label)):
            return


def _vouched(store: Mapping[str, Any], parent: Mapping[str, Any], label: str) -> bool:
    """Tell whether a parent's manifest was whole when it was taken in, and its signer is trusted."""
    signature = f"/c2pa/{label}/c2pa.signature"
    trusted_now = any(
        success.get("code") == "signingCredential.trusted" and str(success.get("url")).endswith(signature)
        for success in _successes_since(store)
    )
    return trusted_now and all(failure.get("code") == _UNTRUSTED for failure in _failures(parent))


def _successes_since(store: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what of the ingredients is verified now and was not when they were taken in."""
    for delta in (store.get("validation_results") or {}).get("ingredientDeltas") or []:
        yield from (delta.get("validationDeltas") or {}).get("success") or []


def _actions(manifest: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
    """Yield each action and the kind of source that it names; of Firefly's from 2023, what made the picture."""
    unnamed = _TRAINED if _is_adobe_s_generation(manifest) else ""
    for assertion in manifest.get("assertions") or []:
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            for action in (assertion.get("data") or {}).get("actions") or []:
                kind = str(action.get("digitalSourceType", "")).rpartition("/")[2]
                created = action.get("action") == "c2pa.created"
                yield action.get("action"), kind or (unnamed if created else "")


def _is_adobe_s_generation(manifest: Mapping[str, Any]) -> bool:
    """Tell whether a manifest says as Firefly did in 2023 that a model made the picture: in an assertion of Adobe's."""
    return any(str(assertion.get("label", "")).startswith(_ADOBE) for assertion in manifest.get("assertions") or [])


def _mime(data: bytes) -> str:
    """Return the type that the bytes begin like; the library knows better where this is wrong."""
    head = data[:16]
    for magic, mime in ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"), (b"RIFF", "image/webp")):
        if head.startswith(magic):
            return mime
    if head[4:8] == b"ftyp":
        return "image/avif" if head[8:11] == b"avi" else "image/heic"
    return "image/gif" if head.startswith(b"GIF") else "image/tiff"
