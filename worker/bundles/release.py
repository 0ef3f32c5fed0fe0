"""The bundles that come with this release."""

from pathlib import Path

from worker.bundles.plain_files import BundleError, read_json
from worker.bundles.shipped_files import SHIPPED_FOLDER, shipped_folder

RELEASE = SHIPPED_FOLDER


def shipped_bundle(name: str, version: str | None = None) -> Path:
    """Find a bundle that comes with the release: `wild` or `cifake`, or that version of it from an earlier release.

    Raises:
        BundleError: none of that name is shipped.
    """
    folder = shipped_folder(name, version)
    if not (folder / "bundle.json").is_file():
        shipped = ", ".join(folder.name for folder, _ in of_release())
        raise BundleError(f"no bundle named {name!r} is shipped; shipped are: {shipped or 'none'}")
    return folder


def of_release() -> list[tuple[Path, str]]:
    """Name the folders and versions of the bundles that come with this release."""
    files = sorted(RELEASE.glob("*/bundle.json"))
    return [(file.parent, str(read_json(file)["version"])) for file in files]
