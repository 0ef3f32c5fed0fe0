"""Where the bundles of a release lie, those of earlier releases among them: a champion outlives an upgrade."""

import json
from pathlib import Path

SHIPPED_FOLDER = Path(__file__).parent / "shipped"
_EARLIER = SHIPPED_FOLDER / "earlier"


def shipped_folder(name: str, version: str | None = None, root: Path = SHIPPED_FOLDER) -> Path:
    """Return the folder of a shipped bundle.

    Args:
        name: such as `wild`.
        version: the one that is wanted; an earlier release's lies in `earlier/VERSION`. None takes this release's.
        root: of the shipped bundles.

    Returns:
        A folder that may hold another version, or not exist: whoever loads it says so.
    """
    folder = root / name
    if version is None or _version_in(folder) == version:
        return folder
    earlier = root / _EARLIER.name / version
    return earlier if (earlier / "bundle.json").is_file() else folder


def _version_in(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "bundle.json").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
