"""`assay bundles`: lists, shows and verifies bundles, moves them, and builds them from published networks."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.cli.bundles_build import build, refuse_if_there
from infra.cli.bundles_card import as_text
from infra.cli.bundles_held_out import held_out
from infra.cli.bundles_open import bucket_and_prefix, database_of, folder_of, in_bucket, refuse_foreign
from infra.cli.bundles_page import as_page
from infra.cli.environment import load_settings
from infra.cli.keys import operator
from infra.cli.output import writable_file
from worker.bundles.card import read_card
from worker.bundles.copies import artifact_prefix, upload_bundle
from worker.bundles.plain_files import read_json
from worker.bundles.release import of_release
from worker.database.audit import record
from worker.database.bundles import SHIPPED, register_bundle
from worker.database.promotion import Bundles
from worker.errors import AssayError
from worker.objects.transfer import transfer
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.bundles.parts import BundleParts
    from worker.database.tables import Bundle

app = typer.Typer(help="List, show, verify, move and build bundles.", no_args_is_help=True)
_PROBE_TOLERANCE = 1e-3
_Bundle = Annotated[
    str, typer.Argument(help="`wild`, `cifake`, a folder, s3://bucket/prefix, or a registered version.")
]
_Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@app.command("list")
def list_(json_: _Json = False) -> None:
    """List the bundles of this release and, where the database answers, those that are registered."""
    rows = [_row(version, folder.name, "shipped", "", SHIPPED + folder.name) for folder, version in of_release()]
    by_version = {row["version"]: row for row in rows}
    for bundle in _registered(load_settings()):
        by_version[bundle.version] = _row(bundle.version, bundle.name, "registered", bundle.role, bundle.location)
    if json_:
        for row in by_version.values():
            print(json.dumps(row))
        return
    table = Table("version", "name", "is", "role", "location")
    for row in by_version.values():
        table.add_row(*(escape(value) for value in row.values()))
    Console().print(table)


@app.command()
def show(
    bundle: _Bundle,
    html: Annotated[Path | None, typer.Option(help="Write it as a page with charts into this file.")] = None,
    json_: _Json = False,
) -> None:
    """Show a bundle's card as it lies there: its leading figures, what is certified, where it is weak, what made it.

    `verify` checks that nobody changed it, nor the weights.
    """
    if html is not None:
        writable_file(html)
    with folder_of(bundle) as folder:
        document = read_json(folder / "card.json")
    if html is not None:
        html.write_text(as_page(read_card(document)), encoding="utf-8")
        print(f"the page is {html}", file=sys.stderr)
    if json_:
        print(json.dumps(document))
    elif html is None:
        print(as_text(read_card(document)), end="")


@app.command()
def verify(
    bundles: Annotated[list[str] | None, typer.Argument(help="As for show; default all shipped.")] = None,
) -> None:
    """Check hashes, build the networks, and compare the probe on the card with what the bundle says now."""
    from training.export.card import probe
    from worker.bundles.encoders.folder import EncoderFolder
    from worker.bundles.loaded import Bundle as Loaded

    for name in bundles or [folder.name for folder, _ in of_release()]:
        with folder_of(name) as folder:
            parts = _read(folder)
            loaded = Loaded(parts, encoders=EncoderFolder(load_settings().encoders_dir))
        loaded.warm_up(1)
        recorded, now = read_card(parts.card).probe, probe(loaded).probability
        if recorded is not None and abs(recorded.probability - now) > _PROBE_TOLERANCE:
            raise AssayError(
                f"{loaded.version} gives the probe {now:.4f}, its card says {recorded.probability:.4f}: this release "
                "prepares or scores images differently"
            )
        note = "  (its card has no probe)" if recorded is None else ""
        print(f"{loaded.version}  whole  sha256 {parts.digest()}{note}")


@app.command()
def export(
    bundle: _Bundle,
    to: Annotated[str, typer.Argument(help="A new folder, or s3://bucket/prefix.")],
    with_encoders: Annotated[bool, typer.Option("--with-encoders", help="The encoders that it names too.")] = False,
) -> None:
    """Copy a bundle out, verified, with its card."""
    from worker.bundles.encoders import travel
    from worker.bundles.encoders.folder import EncoderFolder

    settings, remote = load_settings(), in_bucket(to)
    with folder_of(bundle) as folder:
        parts = _read(folder)
        encoders = EncoderFolder(settings.encoders_dir)
        named = travel.encoders_of(part.architecture for part in parts.detectors.values()) if with_encoders else []
        travel.require(encoders, named)
        if remote:
            upload_bundle(transfer(settings), folder, *bucket_and_prefix(to))
            travel.upload(transfer(settings), encoders, named, *bucket_and_prefix(to))
        else:
            _write(parts, Path(to))
            travel.copy_out(encoders, named, Path(to))
    print(f"{parts.version()}  {to}")


@app.command("import")
def import_(bundle: _Bundle) -> None:
    """Verify a bundle, put it into the artifact bucket and register it; promote it through the API or the console.

    The encoders that it names go with it, from beside it or from this machine.
    """
    from worker.bundles.encoders import travel
    from worker.bundles.encoders.folder import EncoderFolder
    from worker.bundles.loaded import Bundle as Loaded

    settings = load_settings()
    with folder_of(bundle) as folder:
        parts = _read(folder)
        encoders, moves = EncoderFolder(settings.encoders_dir), transfer(settings)
        named = travel.encoders_of(part.architecture for part in parts.detectors.values())
        travel.take_in(encoders, named, folder)
        if in_bucket(bundle):
            travel.download(moves, encoders, named, *bucket_and_prefix(bundle))
        Loaded(parts, encoders=encoders).warm_up(1)
        version = parts.version()
        travel.upload(moves, encoders, named, settings.artifact_bucket, "")
        upload_bundle(moves, folder, settings.artifact_bucket, artifact_prefix(version))
    card = {**parts.card, "content_sha256": parts.digest()}
    with database_of(settings) as database, database.transaction() as session:
        location = artifact_prefix(version)
        new = register_bundle(
            session, version=version, name=parts.name, location=location, card=card, figures=parts.figures
        )
        if new:
            record(session, operator(), "bundle.import", f"bundle:{version}", content_sha256=parts.digest())
    print(f"{version}  {'registered' if new else 'was registered already'}")


app.command()(build)
app.command("held-out")(held_out)


def _registered(settings: Settings) -> "Sequence[Bundle]":
    try:
        with database_of(settings) as database:
            return Bundles(database).all()
    except AssayError as error:
        print(f"assay: the registered bundles are not shown: {error}", file=sys.stderr)
        return []


def _row(version: str, name: str, is_: str, role: str, location: str) -> dict[str, str]:
    return {"version": version, "name": name, "is": is_, "role": role, "location": location}


def _read(folder: Path) -> "BundleParts":
    from worker.bundles.folder import read_bundle

    parts = read_bundle(folder)
    refuse_foreign(folder)
    named = (parts.card.get("bundle"), parts.card.get("content_sha256"))
    if named != (parts.version(), parts.digest()):
        raise AssayError(f"the card in {folder} does not name its bundle, so it may be any file: export it again")
    return parts


def _write(parts: "BundleParts", folder: Path) -> None:
    from worker.bundles.folder import write_bundle

    refuse_if_there(folder)
    write_bundle(parts, folder)
