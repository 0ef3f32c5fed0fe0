"""`assay scan`: judges files and folders right here, without any service."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table

from infra.cli.environment import log_trouble_alone
from infra.cli.output import printable, writable_folder
from worker.decisions.vocabulary import VerdictValue
from worker.errors import AssayError
from worker.settings import Settings

_LONGEST_NAME = 255  # bytes


def scan(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    bundle: Annotated[str | None, typer.Option(help="`wild`, `cifake`, or a bundle's folder.")] = None,
    heatmaps: Annotated[Path | None, typer.Option(help="Folder for overlays of flagged images.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Scan files and print their verdicts; exit code 2 if a path does not exist or there is nothing to scan."""
    settings = Settings()
    log_trouble_alone(settings)
    files = _chosen(paths)
    if heatmaps is not None:
        writable_folder(heatmaps)
    results = _scan(files, bundle or settings.bundle, settings, heatmaps)
    rows: list[Mapping[str, Any]] = []
    try:
        for row in track(results, "scanning", len(files), console=Console(stderr=True)):
            if json_:
                print(json.dumps(row))
            else:
                rows.append(row)
    finally:  # what was found is told, whatever happened then
        if rows:
            Console(width=None if sys.stdout.isatty() else 190).print(result_table(rows))
    if not json_:
        print(_closing_line(len(files), rows, heatmaps), file=sys.stderr)


def _closing_line(files: int, rows: Sequence[Mapping[str, Any]], heatmaps: Path | None) -> str:
    """Say how many files were scanned, and where heatmaps lie."""
    drawn = sum(row["verdict"] == VerdictValue.AI_GENERATED for row in rows)
    where = f", heatmaps of {drawn} in {printable(str(heatmaps))}" if heatmaps else ""
    return f"{files} file{'s' * (files != 1)}{where}"


def _chosen(paths: list[Path]) -> list[Path]:
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise typer.BadParameter(f"there is no {printable(str(missing[0]))}")
    files, skipped = files_of(paths)
    for path, why in skipped:
        print(f"assay: skipped {printable(str(path))}: {why}", file=sys.stderr)
    if not files:
        raise typer.BadParameter("there is nothing to scan")
    return files


def files_of(paths: Iterable[Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """List every file in a stable order, and what is skipped and why.

    Folders are walked; hidden entries in them are left out without a word, links to folders are not followed.
    """
    files: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            below, others = _walk(path)
            files += below
            skipped += others if below or others else [(path, "it holds no files, or hidden ones alone")]
        elif why := _no_file(path):
            skipped.append((path, why))
        else:
            files.append(path)
    return files, skipped


def _walk(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    files: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    closed: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = _visible(folders)
        skipped += [
            (Path(place, name), "it is a link to a folder") for name in folders if Path(place, name).is_symlink()
        ]
        for file in (Path(place, name) for name in _visible(names)):
            if why := _no_file(file):
                skipped.append((file, why))
            else:
                files.append(file)
    skipped += [(Path(error.filename), error.strerror or str(error)) for error in closed]
    return sorted(files), sorted(skipped)


def _visible(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(".")]


def _no_file(path: Path) -> str | None:
    """Say why a path cannot be scanned, None if it can: reading a pipe or a device would not end."""
    try:
        return None if path.is_file() else "it is no regular file"
    except OSError as error:
        return error.strerror or str(error)


def result_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the rows as a table for people."""
    table = Table(Column("image", overflow="fold"), "verdict", "probability", "remarks", "what the file says")
    for row in rows:
        probability = row["probability"]
        shown = f"{probability:.3f}" if isinstance(probability, float) else ""
        origin = escape(printable(origin_in_words(row.get("provenance") or {})))
        verdict = str(row["verdict"] or row["state"])
        table.add_row(escape(printable(str(row["path"]))), verdict, shown, remarks_on(row), origin)
    return table


def remarks_on(row: Mapping[str, Any]) -> str:
    """Return why a file was rejected, whether it breaks off, and which frame of an animation is the gravest."""
    why = f": {printable(str(row['detail']))}" if row.get("detail") else ""
    remarks = [escape(f"{row['reason']}{why}")] if row["reason"] else []
    remarks += ["breaks off"] if row.get("truncated") else []
    frames = row.get("frames")
    if frames and frames["first_alone"]:
        remarks.append(f"first of {frames['count']} frames alone")
    elif frames:
        gravest = frames["gravest"]
        seconds = f"{gravest['at_ms'] / 1000:.1f} s"
        count = f"{len(frames['judged'])} of {frames['count']} frames judged"
        remarks.append(f"{count}, gravest {gravest['number']} at {seconds}: {gravest['probability']:.3f}")
    return "; ".join(remarks)


def origin_in_words(provenance: Mapping[str, Any]) -> str:
    """Return in a few words what a file says of its origin, and how far that can be believed."""
    signed = provenance.get("c2pa")
    marks, tags = provenance.get("marks") or [], provenance.get("tags") or []
    parts = []
    if signed:
        origin = str(signed["says"] or "signed").replace("_", " ")
        by = f" by {signed['signer']}" if signed["signer"] else ""
        parts.append(f"{origin}, signature {signed['state']}{by}")
    parts += [f"declared: {mark_in_words(mark, tag)}" for mark, tag in zip(marks, tags, strict=False)]
    if provenance.get("camera"):
        parts.append(f"camera: {provenance['camera']}")
    return "; ".join(parts)


def mark_in_words(mark: Mapping[str, Any], tag: str) -> str:
    """Return what declares the picture AI and where in the file that stands; nobody signed it."""
    what = {"iptc": tag.removeprefix("iptc:"), "tc260": "AI label of GB 45438"}.get(mark["kind"], mark["tool"] or tag)
    weak = "" if mark["strong"] else ", a hint alone"
    return f"{what} in {mark['where']}{weak}"


def _scan(files: list[Path], name: str, settings: Settings, heatmaps: Path | None) -> Iterator[dict[str, Any]]:
    from worker.processes.decoders import decoder_pool

    with closing(decoder_pool(settings)) as decoders:
        decoders.start()  # while torch is imported and the detectors are loaded
        bundle = _open_bundle(name, settings)
        from worker.decisions.policy import FIRST_RULES
        from worker.scan.scan_files import scan_files

        limits = {"max_batch": settings.max_batch, "max_bytes": settings.max_image_bytes}
        for result in scan_files(files, bundle, FIRST_RULES, decoders=decoders, **limits):
            if heatmaps and result.decision and result.decision.verdict == "ai_generated":
                _write_overlays(heatmaps, result, bundle)
            yield result.as_json(bundle.version)


def _open_bundle(name: str, settings: Settings) -> Any:
    """Return the bundle, its detectors loaded; torch takes seconds to import, and usage errors should not."""
    from worker.detectors.quick_import import import_quickly

    import_quickly()
    from worker.bundles.loaded import shipped_bundle
    from worker.bundles.opening import opening
    from worker.detectors.device import pick_device, set_threads
    from worker.freed_memory import share_freed_memory

    share_freed_memory()
    set_threads(settings.torch_threads)
    try:
        device = pick_device(settings.device)
        # A folder of pictures may be called as a shipped bundle is.
        own = "/" in name or (Path(name) / "bundle.json").is_file()
        return opening(settings, device).open(Path(name) if own else shipped_bundle(name))
    except ValueError as error:  # a bundle that is missing or damaged, a device that is not there
        raise AssayError(str(error)) from error


def _write_overlays(folder: Path, result: Any, bundle: Any) -> None:
    from worker.detectors.heatmap import overlay_png

    if result.look is None or result.decision is None:
        return
    (maps,) = bundle.heatmaps([result.look.prepared])
    for detector, heatmap in maps.items():
        png = overlay_png(result.look.preview, heatmap, result.decision.probability)
        (folder / overlay_name(result.path, result.sha256 or "", detector)).write_bytes(png)


def overlay_name(image: Path, sha256: str, detector: str) -> str:
    """Name an image's overlay: as the image, cut to what file systems take; the hash keeps equal names apart."""
    ending = f"-{sha256[:8]}-{detector}.png"
    return os.fsencode(image.stem)[: _LONGEST_NAME - len(ending)].decode(errors="ignore") + ending
