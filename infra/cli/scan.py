"""`assay scan`: judges files and folders right here, without any service."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table

from worker.errors import AssayError
from worker.settings import Settings

# The policy that a new database starts with.
_POLICY = {"false_positive_budget": 0.01, "miss_budget": 0.05, "prior_shift": 0.0}


def scan(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    bundle: Annotated[str | None, typer.Option(help="`wild`, `cifake`, or a bundle's folder.")] = None,
    heatmaps: Annotated[Path | None, typer.Option(help="Folder for overlays of flagged images.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Scan files and print their verdicts; exit code 2 if a path does not exist."""
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise typer.BadParameter(f"there is no {missing[0]}")
    settings = Settings()
    found = list(files_of(paths))
    results = _scan(found, bundle or settings.bundle, settings, heatmaps)
    rows = (row for row in track(results, "scanning", len(found), console=Console(stderr=True), disable=not found))
    if json_:
        for row in rows:
            print(json.dumps(row))
    else:
        Console(width=None if sys.stdout.isatty() else 190).print(result_table(list(rows)))
        print(f"{len(found)} files", file=sys.stderr)


def files_of(paths: list[Path]) -> Iterator[Path]:
    """Yield every file in a stable order; folders are walked, hidden entries in them left out."""
    for path in paths:
        if path.is_file():
            yield path
            continue
        below = (found for found in path.rglob("*") if found.is_file())
        yield from sorted(found for found in below if not any(p.startswith(".") for p in found.relative_to(path).parts))


def result_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the rows as a table for people."""
    table = Table(Column("image", overflow="fold"), "verdict", "probability", "reason", "what the file says")
    for row in rows:
        probability = row["probability"]
        shown = f"{probability:.3f}" if isinstance(probability, float) else ""
        said = escape(origin_in_words(row.get("provenance") or {}))
        verdict, reason = str(row["verdict"] or row["state"]), str(row["reason"] or "")
        table.add_row(escape(str(row["path"])), verdict, shown, reason, said)
    return table


def origin_in_words(provenance: Mapping[str, Any]) -> str:
    """Return in a few words what a file says of its origin, and how far that can be believed."""
    signed = provenance.get("c2pa")
    said = []
    if signed:
        origin = str(signed["says"] or "signed").replace("_", " ")
        by = f" by {signed['signer']}" if signed["signer"] else ""
        said.append(f"{origin}, signature {signed['state']}{by}")
    if provenance.get("tags"):
        said.append(f"unsigned: {', '.join(provenance['tags'])}")
    if provenance.get("camera"):
        said.append(f"camera: {provenance['camera']}")
    return "; ".join(said)


def _scan(found: list[Path], name: str, settings: Settings, heatmaps: Path | None) -> Iterator[dict[str, Any]]:
    # torch takes seconds to import; usage errors should not.
    from worker.decode import share_freed_memory
    from worker.detectors.bundle import load_bundle, shipped_bundle
    from worker.detectors.device import pick_device, set_threads
    from worker.provenance.c2pa_process import manifest_reader
    from worker.scan_files import scan_files
    from worker.verdict import Rules

    share_freed_memory()
    set_threads(settings.torch_threads)
    try:
        folder = Path(name) if Path(name).is_dir() else shipped_bundle(name)
        bundle = load_bundle(folder, pick_device(settings.device))
    except ValueError as error:  # a bundle that is missing or damaged, a device that is not there
        raise AssayError(str(error)) from error
    limits = {"max_bytes": settings.max_image_bytes, "max_pixels": settings.max_image_pixels}
    with closing(manifest_reader(settings.c2pa_trust_anchors, settings.decode_memory_bytes)) as reader:
        rules, batch = Rules(**_POLICY), settings.max_batch
        for result in scan_files(found, bundle, rules, read_manifest=reader, max_batch=batch, **limits):
            if heatmaps and result.decision and result.decision.verdict == "ai_generated":
                _write_overlays(heatmaps, result, bundle)
            yield result.as_json(bundle.version)


def _write_overlays(folder: Path, result: Any, bundle: Any) -> None:
    from worker.detectors.heatmap import overlay_png

    if result.image is None or result.decision is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (maps,) = bundle.heatmaps([result.prepared])
    for detector, heatmap in maps.items():
        png = overlay_png(result.image, heatmap, result.decision.probability)
        # The hash keeps files of the same name from different folders apart.
        (folder / f"{result.path.stem}-{(result.sha256 or '')[:8]}-{detector}.png").write_bytes(png)
