"""What commands write: folders that take it, and text that a terminal shows as it is."""

import tempfile
from pathlib import Path

from worker.errors import AssayError


def writable_folder(folder: Path) -> Path:
    """Make a folder unless it is there, and see that files can be written into it: before the work, not after it.

    Raises:
        AssayError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".assay-"):
            pass
    except OSError as error:
        raise AssayError(f"{folder} is no folder that can be written to ({error.strerror}): name another") from error
    return folder


def writable_file(file: Path) -> Path:
    """See that a file can be written, making its folder unless it is there.

    Raises:
        AssayError: it cannot, or is a folder.
    """
    writable_folder(file.parent)
    try:
        if file.is_dir():
            raise AssayError(f"{file} is a folder: name a file in it")
        if file.exists():
            file.open("ab").close()
    except OSError as error:
        raise AssayError(f"{file} cannot be written ({error.strerror}): name another") from error
    return file


def printable(text: str) -> str:
    """Return text with escapes in place of what would steer a terminal or is no character; names may hold both."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
