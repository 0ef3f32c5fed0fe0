"""A bundle on disk: `bundle.json`, one safetensors file for each detector, `card.json`.

The version is a hash of exactly what changes a logit or a probability. The figures, which only thresholds read, have
a checksum of their own; the card may grow without making a new bundle. It names its bundle and has a checksum too:
against damage and mix-ups, not against forgers, who can write both anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from worker.bundles.parts import FORMAT, FUSED, PREPROCESSING, BundleParts, DetectorPart, canonical, version_of
from worker.bundles.plain_files import BundleError, check_plain, open_plain, read_json
from worker.bundles.stored_features import check_stored
from worker.decisions.calibration import Calibration, CalibrationFigures, Fusion
from worker.images.views import ViewPlan

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from torch import Tensor

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
# How a pickle begins, and a zip of them, as torch.save writes it.
_PICKLED = (b"\x80", b"PK\x03\x04")


def check_name(name: str) -> None:
    """Raise BundleError where a bundle cannot be called so."""
    if not _NAME.fullmatch(name):
        raise BundleError(f"{name!r} is no name of a bundle: small letters, digits, `.`, `_` and `-`")


def write_bundle(parts: BundleParts, folder: Path) -> str:
    """Write the folder and give the version; existing files of the same names are replaced.

    Raises:
        BundleError: the name is none.
    """
    check_name(parts.name)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.detectors.items():
        file = folder / f"{name}.safetensors"
        save_file({k: v.detach().cpu().contiguous() for k, v in part.tensors.items()}, file)
        file.chmod(0o644)  # the library makes files for their owner alone; a service may run as another user
    figures = parts.figures.to_json()
    version = parts.version()
    description = {
        "name": parts.name,
        "version": version,
        **parts.deciding(),
        "figures_sha256": hashlib.sha256(canonical(figures)).hexdigest(),
        "figures": figures,
    }
    (folder / "bundle.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
    _write_card(folder, {**parts.card, "bundle": version, "content_sha256": parts.digest()})
    return version


def add_to_card(folder: Path, evaluation: Mapping[str, Any]) -> None:
    """Put an evaluation on the card; an earlier one, told so, on the same images is replaced. The version stays.

    Raises:
        BundleError: the card was damaged or changed by hand.
    """
    card = _read_card(folder)
    others = [earlier for earlier in card.get("evaluations", []) if _evaluated_on(earlier) != _evaluated_on(evaluation)]
    _write_card(folder, {**card, "evaluations": [*others, dict(evaluation)]})


def update_card(folder: Path, facts: Mapping[str, Any], without: Collection[str] = ()) -> None:
    """Put facts on the card in place of those of the same names, and take others off. The version stays.

    Raises as `add_to_card`.
    """
    kept = {name: fact for name, fact in _read_card(folder).items() if name not in without}
    _write_card(folder, {**kept, **facts})


def _evaluated_on(evaluation: Mapping[str, Any]) -> tuple[Any, Any]:
    # `data` holds names without their folders, which other images may have too; their fingerprint tells them apart.
    return evaluation.get("data"), evaluation.get("data_facts", {}).get("fingerprint_sha256")


def _write_card(folder: Path, card: Mapping[str, Any]) -> None:
    half = folder / "card.json.tmp"
    text = json.dumps({**card, "card_sha256": _card_sha256(card)}, indent=2, ensure_ascii=False) + "\n"
    # Of a name that is no UTF-8 stay escapes, which JSON reads as they were.
    half.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(half, folder / "card.json")  # noqa: PTH105 (one atomic move)


def _card_sha256(card: Mapping[str, Any]) -> str:
    """Hash everything else that is on a card, as it comes back from its file."""
    read_back = json.loads(json.dumps({key: value for key, value in card.items() if key != "card_sha256"}))
    return hashlib.sha256(json.dumps(read_back, sort_keys=True).encode()).hexdigest()


def _read_card(folder: Path) -> dict[str, Any]:
    card = read_json(folder / "card.json")
    # Cards of earlier releases have none.
    if card.get("card_sha256", "") not in {"", _card_sha256(card)}:
        message = (
            f"the card of bundle {folder} was damaged or changed: fetch or export the bundle again, or, if it was "
            "changed on purpose, take its card_sha256 out"
        )
        raise BundleError(message)
    return card


def read_bundle(folder: Path) -> BundleParts:
    """Read and verify a folder.

    Raises:
        BundleError: something is missing, damaged, tampered with or of a format this release does not know.
    """
    description = read_json(folder / "bundle.json")
    if description.get("format") != FORMAT:
        message = (
            f"bundle {folder} has format {description.get('format')!r}, this release reads format {FORMAT}: "
            "export the bundle again with this release, or run the release that made it"
        )
        raise BundleError(message)
    try:
        parts = _parts(folder, description)
        _verify(folder, description, parts)
    except BundleError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"bundle {folder} is malformed ({error!r}): fetch or export it again"
        raise BundleError(message) from error
    return parts


def _parts(folder: Path, description: Mapping[str, Any]) -> BundleParts:
    _check_names(folder, description)
    check_plain(folder, [f"{name}.safetensors" for name in description["detectors"]])
    card = _read_card(folder)
    detectors = {
        name: DetectorPart(
            architecture=part["architecture"],
            plan=ViewPlan(**part["views"]),
            tensors=_read_tensors(folder / f"{name}.safetensors"),
        )
        for name, part in description["detectors"].items()
    }
    return BundleParts(
        name=description["name"],
        detectors=detectors,
        fusion=Fusion.from_json(description["fusion"]),
        calibrations={name: Calibration.from_json(value) for name, value in description["calibrations"].items()},
        figures=CalibrationFigures.from_json(description["figures"]),
        card=card,
    )


def _check_names(folder: Path, description: Mapping[str, Any]) -> None:
    """Refuse strange names: detectors' are names of files, and a model's may be an address that its library fetches."""
    names = [description["name"], *description["detectors"]]
    models = [part["architecture"].get("model") or "" for part in description["detectors"].values()]
    strange = [name for name in names if not _NAME.fullmatch(name)] + [name for name in models if set(":/") & set(name)]
    if strange:
        raise BundleError(f"bundle {folder} names {strange[0]!r}, which no bundle of ours does: refused")


def _verify(folder: Path, description: Mapping[str, Any], parts: BundleParts) -> None:
    if description.get("preprocessing") != PREPROCESSING:
        message = f"bundle {folder} was made with another preprocessing: export it again with this release"
        raise BundleError(message)
    digest = parts.digest()
    version = version_of(parts.name, digest)
    if version != description.get("version"):
        message = (
            f"bundle {folder} says version {description.get('version')} but its content is {version}: "
            "it was damaged or changed; fetch or export it again"
        )
        raise BundleError(message)
    if hashlib.sha256(canonical(description["figures"])).hexdigest() != description.get("figures_sha256"):
        message = f"the calibration figures of bundle {folder} were damaged or changed; fetch or export it again"
        raise BundleError(message)
    check_stored(parts.detectors)
    if set(parts.calibrations) != {FUSED, *parts.detectors} or set(parts.fusion.weights) != set(parts.detectors):
        message = f"bundle {folder} lacks a calibration or a fusion weight of one of its detectors: export it again"
        raise BundleError(message)
    named = (parts.card.get("bundle", version), parts.card.get("content_sha256", digest))
    if named != (version, digest):
        message = (
            f"the card in {folder} is of another bundle ({named[0]}, sha256 {named[1]}), not of {version}: "
            "fetch or export it again"
        )
        raise BundleError(message)


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        why = (
            "a pickle and no safetensors file: pickles may run code and are never loaded"
            if _begins(file).startswith(_PICKLED)
            else f"no safetensors file ({error})"
        )
        raise BundleError(f"{file} is {why}; fetch or export the bundle again") from error


def _begins(file: Path) -> bytes:
    with open_plain(file) as opened:
        return opened.read(4)
