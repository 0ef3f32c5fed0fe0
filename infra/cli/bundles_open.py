"""Where a bundle that a command names is: in this release, in a folder, in a bucket, or registered."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from infra.cli.environment import load_settings
from worker.bundles.copies import REPLAY, download_bundle, files_of
from worker.bundles.plain_files import read_json
from worker.bundles.release import RELEASE, of_release
from worker.database.session import Database, DatabaseDownError, connect
from worker.errors import AssayError
from worker.objects.transfer import transfer
from worker.settings import Settings

_PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib"}


@contextmanager
def folder_of(bundle: str) -> Iterator[Path]:
    """Give a folder with the bundle's files: its own, the release's, this machine's copy, or a temporary one.

    Raises:
        AssayError: there is no such bundle; what was named may be a pickle, which is never loaded.
    """
    settings = load_settings()
    here = Path(bundle)
    if (here / "bundle.json").is_file():
        yield here
    elif (RELEASE / here.name / "bundle.json").is_file() and here.name == bundle:
        yield RELEASE / bundle
    elif in_bucket(bundle):
        with _downloaded(settings, *bucket_and_prefix(bundle)) as folder:
            yield folder
    elif here.exists() or "/" in bundle:
        raise AssayError(_why_no_bundle(here))
    else:
        yield _registered(settings, bundle)


def _why_no_bundle(here: Path) -> str:
    files = sorted(here.iterdir()) if here.is_dir() else [here]
    pickles = [file.name for file in files if file.suffix in _PICKLES]
    if pickles:
        return (
            f"{here} is no bundle but a pickle ({pickles[0]}): pickles may run code and are never loaded; save the "
            "weights as safetensors and wrap them with `assay bundles build`"
        )
    return f"{here} holds no bundle.json; a bundle is a folder with bundle.json, card.json and weights"


def refuse_foreign(folder: Path) -> None:
    """Refuse files beside those that the description names: whoever gets the bundle would take them for part of it.

    Raises:
        AssayError: there are some.
    """
    description = read_json(folder / "bundle.json")
    names = {file.name for file in folder.iterdir() if not file.name.startswith(".")}
    foreign = sorted(names - {*files_of(description), REPLAY})
    if foreign:
        raise AssayError(f"{folder} holds {', '.join(foreign[:3])}, no part of the bundle: take it out")


def _registered(settings: Settings, version: str) -> Path:
    from worker.bundles.locate import UnknownBundleError, locator  # imports torch, which takes seconds

    shipped = ", ".join(folder.name for folder, _ in of_release())
    with database_of(settings) as database:
        try:
            return locator(settings, database)(version)
        except UnknownBundleError as error:
            choices = f"shipped are {shipped}; see `assay bundles list`"
            raise AssayError(f"there is no bundle {version!r}: {choices}") from error
        except DatabaseDownError as error:
            raise AssayError(
                f"{version!r} is no folder and no bundle of this release ({shipped}), and which others are registered "
                f"is not known: {error.detail}"
            ) from error


@contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """Give the settings' database, for one command."""
    database = connect(settings.database_url.get_secret_value(), pool_size=1)
    try:
        yield database
    finally:
        database.engine.dispose()


@contextmanager
def _downloaded(settings: Settings, bucket: str, prefix: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="assay-bundle-") as folder:
        download_bundle(transfer(settings), bucket, prefix, Path(folder))
        yield Path(folder)


def in_bucket(place: str) -> bool:
    """Tell whether a place is `s3://…`, however that is spelt: usage error if it is another scheme's."""
    scheme, separator, _ = place.partition("://")
    if separator and scheme.lower() != "s3":
        raise typer.BadParameter(f"{place}: of addresses only s3://bucket/prefix is known; or give a folder")
    return bool(separator)


def bucket_and_prefix(place: str) -> tuple[str, str]:
    """Part `s3://bucket/prefix`: usage error if it is none."""
    bucket, _, prefix = place.partition("://")[2].partition("/")
    if not bucket or not prefix.strip("/"):
        raise typer.BadParameter(f"{place}: give s3://bucket/prefix")
    return bucket, prefix
