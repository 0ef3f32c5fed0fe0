"""Can Assay be set up with this Python? `make setup` asks first, before it fetches 6 GB.

It runs under any Python 3, so it holds nothing that an old one cannot read.
"""

import sys
import sysconfig
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)


def refusal(version: "tuple[int, ...]", headers: Path) -> "str | None":
    """Return why Assay cannot be set up and what to do, or None where it can.

    Args:
        version: The interpreter's version, major and minor first.
        headers: The folder of its C headers. One package (pdqhash) is compiled, so they must be there.
    """
    if not OLDEST <= version[:2] <= NEWEST:
        return "Assay needs Python 3.11, 3.12 or 3.13, this one is {}.{}; name another: make PYTHON=python3.11".format(
            *version
        )
    if not (headers / "Python.h").exists():
        return f"{headers} has no Python.h; install Python's headers (Debian: apt-get install python3-dev)"
    return None


if __name__ == "__main__":
    sys.exit(refusal(sys.version_info[:3], Path(sysconfig.get_path("include"))))
