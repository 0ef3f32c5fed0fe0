"""`assay bundles`: lists, shows and verifies bundles, moves them, and builds them from published networks."""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.cli.bundles_build import build, refuse_if_there
from infra.cli.bundles_card import as_text
from infra.cli.environment import load_settings
from worker.bundle_places import artifact_prefix, download_bundle, upload_bundle
from worker.errors import AssayError
from worker.fetch import s3_client
from worker.settings import Settings
from worker.store.bundles import SHIPPED, register_bundle
from worker.store.promotion import Bundles
from worker.store.session import Database, connect

if TYPE_CHECKING:
    from worker.detectors.bundle_folder import BundleParts
    from worker.store.tables import Bundle

app = typer.Typer(help="List, show, verify, move and build bundles.", no_args_is_help=True)
_RELEASE = Path(__file__).parents[2] / "worker" / "bundles"
_PROBE_TOLERANCE = 1e-3
_Bundle = Annotated[
    str, typer.Argument(help="`wild`, `cifake`, a folder, s3://bucket/prefix, or a registered version.")
]
_Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@app.command("list")
def list_(json_: _Json = False) -> None:
    """List the bundles of this release and, where the database answers, those that are registered."""
    rows = [_row(version, folder.name, "shipped", "", SHIPPED + folder.name) for folder, version in _of_release()]
    known = {row["version"]: row for row in rows}
    for found in _registered(load_settings()):
        known[found.version] = _row(found.version, found.name, "registered", found.role, found.location)
    if json_:
        for row in known.values():
            print(json.dumps(row))
        return
    table = Table("version", "name", "is", "role", "location")
    for row in known.values():
        table.add_row(*(escape(value) for value in row.values()))
    Console().print(table)


@app.command()
def show(bundle: _Bundle, json_: _Json = False) -> None:
    """Show a bundle's card: what it was made of, how it measures, what is certified, where it is weak."""
    with _folder_of(bundle) as folder:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    print(json.dumps(card) if json_ else as_text(card), end="\n" if json_ else "")


@app.command()
def verify(
    bundles: Annotated[list[str] | None, typer.Argument(help="As for show; default all shipped.")] = None,
) -> None:
    """Check hashes, build the networks, and compare the probe on the card with what the bundle says now."""
    from training.export_card import probe
    from worker.detectors.bundle import Bundle as Loaded

    for name in bundles or [folder.name for folder, _ in _of_release()]:
        with _folder_of(name) as folder:
            parts = _read(folder)
            loaded = Loaded(parts)
        loaded.warm_up(1)
        told, now = parts.card.get("probe"), probe(loaded)
        if told and abs(float(told["probability"]) - now["probability"]) > _PROBE_TOLERANCE:
            raise AssayError(
                f"{loaded.version} gives the probe {now['probability']:.4f}, its card says {told['probability']:.4f}: "
                "this release prepares or scores images differently"
            )
        print(f"{loaded.version}  whole  sha256 {parts.digest()}" + ("" if told else "  (its card has no probe)"))


@app.command()
def export(bundle: _Bundle, to: Annotated[str, typer.Argument(help="A new folder, or s3://bucket/prefix.")]) -> None:
    """Copy a bundle out, verified, with its card."""
    with _folder_of(bundle) as folder:
        parts = _read(folder)
        if to.startswith("s3://"):
            upload_bundle(s3_client(load_settings()), folder, *_bucket_and_prefix(to))
        else:
            _write(parts, Path(to))
    print(f"{parts.version()}  {to}")


@app.command("import")
def import_(bundle: _Bundle) -> None:
    """Verify a bundle, put it into the artifact bucket and register it; promote it through the API or the console."""
    from worker.detectors.bundle import Bundle as Loaded

    settings = load_settings()
    with _folder_of(bundle) as folder:
        parts = _read(folder)
        Loaded(parts).warm_up(1)
        version = parts.version()
        upload_bundle(s3_client(settings), folder, settings.artifact_bucket, artifact_prefix(version))
    card = {**parts.card, "content_sha256": parts.digest()}
    with _database(settings) as database, database.transaction() as session:
        new = register_bundle(session, version=version, name=parts.name, location=artifact_prefix(version), card=card)
    print(f"{version}  {'registered' if new else 'was registered already'}")


app.command()(build)


@contextmanager
def _folder_of(bundle: str) -> Iterator[Path]:
    """Give a folder with the bundle's files: its own, the release's, or a temporary one from a bucket."""
    settings = load_settings()
    here = Path(bundle)
    if (here / "bundle.json").is_file():
        yield here
    elif (_RELEASE / here.name / "bundle.json").is_file() and here.name == bundle:
        yield _RELEASE / bundle
    elif bundle.startswith("s3://"):
        with _downloaded(settings, *_bucket_and_prefix(bundle)) as folder:
            yield folder
    elif here.exists() or "/" in bundle:
        raise AssayError(f"{bundle} holds no bundle.json; a bundle is a folder with bundle.json, card.json and weights")
    else:
        location = _location(settings, bundle)
        if location.startswith(SHIPPED):
            yield _RELEASE / location.removeprefix(SHIPPED)
        else:
            with _downloaded(settings, settings.artifact_bucket, location) as folder:
                yield folder


def _location(settings: Settings, version: str) -> str:
    with _database(settings) as database:
        found = Bundles(database).get(version)
    if found is None:
        shipped = ", ".join(folder.name for folder, _ in _of_release())
        raise AssayError(f"there is no bundle {version!r}: shipped are {shipped}; see `assay bundles list`")
    return found.location


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    database = connect(settings.database_url.get_secret_value(), pool_size=1)
    try:
        yield database
    finally:
        database.engine.dispose()


@contextmanager
def _downloaded(settings: Settings, bucket: str, prefix: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="assay-bundle-") as folder:
        download_bundle(s3_client(settings), bucket, prefix, Path(folder))
        yield Path(folder)


def _bucket_and_prefix(place: str) -> tuple[str, str]:
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    if not bucket or not prefix.strip("/"):
        raise typer.BadParameter(f"{place}: give s3://bucket/prefix")
    return bucket, prefix


def _registered(settings: Settings) -> "Sequence[Bundle]":
    try:
        with _database(settings) as database:
            return Bundles(database).all()
    except AssayError as error:
        print(f"assay: the registered bundles are not shown: {error}", file=sys.stderr)
        return []


def _of_release() -> list[tuple[Path, str]]:
    files = sorted(_RELEASE.glob("*/bundle.json"))
    return [(file.parent, str(json.loads(file.read_text(encoding="utf-8"))["version"])) for file in files]


def _row(version: str, name: str, is_: str, role: str, location: str) -> dict[str, str]:
    return {"version": version, "name": name, "is": is_, "role": role, "location": location}


def _read(folder: Path) -> "BundleParts":
    from worker.detectors.bundle_folder import read_bundle

    return read_bundle(folder)


def _write(parts: "BundleParts", folder: Path) -> None:
    from worker.detectors.bundle_folder import write_bundle

    refuse_if_there(folder)
    write_bundle(parts, folder)
