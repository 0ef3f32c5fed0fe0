"""Files of a bundle that a stranger may have made: only plain ones are read, each within its limit.

A symlink, FIFO or device in a bundle's folder could name any file of this machine, or none that ever ends.
"""

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from worker.errors import AssayError

MAX_JSON_BYTES = 16 * 1024**2
MAX_WEIGHTS_BYTES = 8 * 1024**3
MAX_DEPTH = 32
_MEND = "fetch or export the bundle again"


class BundleError(AssayError, ValueError):
    """The bundle cannot be used; the message says why and what to do."""


def most_bytes(name: str) -> int:
    """Give the limit for a bundle's file of this name, in bytes."""
    return MAX_JSON_BYTES if name.endswith(".json") else MAX_WEIGHTS_BYTES


def open_plain(file: Path) -> BinaryIO:
    """Open a bundle's file for reading; it is a plain one within its limit, also while others change the folder.

    Raises:
        BundleError: it is missing, no plain file, or too large.
    """
    try:
        # Opening a FIFO must not wait for a writer.
        opened = os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError as error:
        raise BundleError(
            f"{file} does not exist: a bundle is a folder with bundle.json, card.json and safetensors files; {_MEND}"
        ) from error
    except OSError as error:
        raise BundleError(f"{file} is {_kind_of(file)}; {_MEND}") from error
    facts = os.fstat(opened.fileno())
    if not stat.S_ISREG(facts.st_mode):
        opened.close()
        raise BundleError(f"{file} is no plain file: links, pipes and devices are never read; {_MEND}")
    if facts.st_size > most_bytes(file.name):
        opened.close()
        raise BundleError(f"{file} has {facts.st_size:,} bytes; a bundle's may have {most_bytes(file.name):,}")
    return opened


def check_plain(folder: Path, names: Iterable[str]) -> None:
    """Check that each of a bundle's files is a plain one within its limit, before any of them is read.

    Raises:
        BundleError: one of them is not.
    """
    for name in names:
        open_plain(folder / name).close()


def read_json(file: Path) -> dict[str, Any]:
    """Read one of a bundle's descriptions: a JSON object, not nested deeper than `MAX_DEPTH`.

    Raises:
        BundleError: it is missing, no plain file, too large, too deep, or no JSON object.
    """
    with open_plain(file) as opened:
        text = opened.read(MAX_JSON_BYTES + 1)
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise BundleError(f"{file} is nested too deeply; {_MEND}") from error
    except ValueError as error:
        raise BundleError(f"{file} cannot be read ({error}); {_MEND}") from error
    if not isinstance(value, dict):
        raise BundleError(f"{file} holds no JSON object; {_MEND}")
    if _is_deeper(value, MAX_DEPTH):
        raise BundleError(f"{file} is nested deeper than {MAX_DEPTH} levels; {_MEND}")
    return value


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _kind_of(file: Path) -> str:
    return "a link, and links are never followed" if file.is_symlink() else "no file that can be read"
