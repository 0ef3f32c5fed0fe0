"""Files that hold secrets: written whole or not at all, readable by their owner alone."""

import os
from pathlib import Path

_OWNER_ONLY = 0o600


def write_private(path: Path, text: str, owner: tuple[int, int] | None = None) -> None:
    """Replace a file's content in one step, with mode 0600 from the first byte on.

    Args:
        path: The file; its folder must exist.
        text: The new content.
        owner: User and group id the file shall belong to, if not ours.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        if owner is not None:
            os.chown(draft, *owner)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
