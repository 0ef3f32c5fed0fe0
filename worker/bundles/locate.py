"""Where a registered bundle lies on this machine: one answer for workers and training runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from worker.bundles.card import read_card
from worker.bundles.copies import BundleCopies
from worker.bundles.folder import read_bundle
from worker.bundles.loaded import shipped_bundle
from worker.bundles.shelf import BundleMissingError
from worker.database.bundles import SHIPPED
from worker.database.session import Database
from worker.database.tables import Bundle
from worker.objects.transfer import transfer
from worker.settings import Settings

Locate = Callable[[str], Path]


class UnknownBundleError(BundleMissingError):
    """No bundle of this version is registered."""


def locate(database: Database, copies: BundleCopies, version: str) -> Path:
    """Return the folder of a registered bundle: this release's own, or a checked copy of the artifact bucket's.

    Raises:
        UnknownBundleError: none of this version is registered.
        BundleMissingError: it is not where it was registered.
        ObjectStoreDownError: it has to be fetched, and the store does not answer.
    """
    with database.transaction() as session:
        row = session.get(Bundle, version)
    if row is None:
        raise UnknownBundleError(f"bundle {version} is not registered: import it with `assay bundles import`")
    if row.location.startswith(SHIPPED):
        return shipped_bundle(row.location.removeprefix(SHIPPED), version)
    return copies.folder(version, row.location, read_card(row.card).content_sha256)


def locator(settings: Settings, database: Database) -> Locate:
    """Return what locates the bundles that a database has registered."""
    return partial(locate, database, bundle_copies(settings))


def bundle_copies(settings: Settings) -> BundleCopies:
    """Keep copies of the artifact bucket's bundles below the data folder, each checked before it is used."""
    root = settings.data_dir / "bundles"
    return BundleCopies(transfer(settings), settings.artifact_bucket, root, lambda f: read_bundle(f).digest())
