"""Installs a wheel as anybody would and scans a picture with it: `make package-test`. Needs nothing but Python.

The environment is fresh, the folder is another one, and nothing of the source tree is in reach.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

_EXTRAS = "worker,api"
# 8 by 8 pixels, grey: a bitmap is written without any library.
_SIDE = 8


def main(wheel: Path) -> None:
    """Install and scan; raises where either fails."""
    with tempfile.TemporaryDirectory(prefix="assay-package-") as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        programs = folder / "venv" / "bin"
        _run([programs / "python", "-m", "pip", "install", "--quiet", f"{wheel.resolve()}[{_EXTRAS}]"], folder)
        _run([programs / "assay", "--version"], folder)
        _run([programs / "assay", "encoders", "fetch"], folder)
        picture = folder / "grey.bmp"
        picture.write_bytes(_bitmap())
        line = json.loads(_run([programs / "assay", "scan", "--json", picture], folder))
        if line["state"] != "completed":
            raise SystemExit(f"assay scan says {line['state']}: {line['reason']}")
        _run([programs / "python", "-c", "import api.main"], folder)
        sys.stdout.write(f"{wheel.name}: installed, and {picture.name} is {line['verdict']}\n")


def _run(command: list[Path | str], folder: Path) -> str:
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder)}  # noqa: TID251 - a process as a person starts it
    done = subprocess.run(list(map(str, command)), cwd=folder, env=clean, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _bitmap() -> bytes:
    """Return a bitmap of 24 bits a pixel."""
    pixels = bytes([128, 128, 128]) * _SIDE * _SIDE
    head = (54).to_bytes(4, "little")
    size = (54 + len(pixels)).to_bytes(4, "little")
    sides = _SIDE.to_bytes(4, "little") * 2
    facts = (40).to_bytes(4, "little") + sides + (1).to_bytes(2, "little") + (24).to_bytes(2, "little")
    return b"BM" + size + bytes(4) + head + facts + bytes(24) + pixels


if __name__ == "__main__":
    main(Path(sys.argv[1]))
