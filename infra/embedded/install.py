"""Set-up of ministack's own virtual environment; run by `make setup` as `python -m infra.embedded.install`.

Apart from ours because ministack pins botocore to one exact version.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from infra.embedded.errors import StackError, from_os_error

_LOCK = Path(__file__).with_name("requirements-ministack.lock")
_STAMP = "assay-installed"
_LONGEST_WAIT = 600.0


def default_venv() -> Path:
    """Where the virtual environment lies: in the project's folder, or else beside our own interpreter."""
    project = Path(__file__).resolve().parents[2]
    return project / ".venv-ministack" if (project / "pyproject.toml").exists() else Path(sys.prefix) / "ministack"


def ministack_python() -> Path:
    """The interpreter that runs ministack: `ASSAY_MINISTACK_PYTHON`, or that of the default place."""
    # Asked for here and not in the settings, which describe Assay's processes, not their stand-ins.
    named = os.environ.get("ASSAY_MINISTACK_PYTHON")  # noqa: TID251
    return Path(named) if named else default_venv() / "bin" / "python"


def ensure_ministack(venv_dir: Path) -> Path:
    """Make the virtual environment from the hashed lock, unless that has been done.

    Args:
        venv_dir: Where it belongs; what is there is replaced when the lock or Python has changed.

    Returns:
        Its interpreter.

    Raises:
        StackError: If the packages cannot be installed.
    """
    interpreter = venv_dir / "bin" / "python"
    stamp = venv_dir / _STAMP
    digest = hashlib.sha256(_LOCK.read_bytes() + sys.version.encode()).hexdigest()
    if _is_made(interpreter, stamp, digest):
        return interpreter
    try:
        venv_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(Path(sys.prefix) / "ministack-set-up.lock", timeout=_LONGEST_WAIT):
            if not _is_made(interpreter, stamp, digest):
                _make(venv_dir, interpreter)
                stamp.write_text(digest, encoding="ascii")
    except Timeout as error:
        raise StackError(f"another set-up of {venv_dir} does not end; stop it") from error
    except OSError as error:
        raise from_os_error(error, "set-up of ministack") from error
    return interpreter


def _is_made(interpreter: Path, stamp: Path, digest: str) -> bool:
    return interpreter.exists() and stamp.exists() and stamp.read_text(encoding="ascii") == digest


def _make(venv_dir: Path, interpreter: Path) -> None:
    _run((sys.executable, "-m", "venv", "--clear", str(venv_dir)))
    pip = (str(interpreter), "-m", "pip", "install", "--quiet", "--require-hashes")
    _run((*pip, "--requirement", str(_LOCK)))


def _run(argv: tuple[str, ...]) -> None:
    try:
        subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        reason = next((line for line in reversed((error.stderr or error.stdout).splitlines()) if line.strip()), "")
        raise StackError(f"set-up of ministack failed: {reason}") from error


def main() -> int:
    """Run the set-up from a command line."""
    parser = argparse.ArgumentParser(description="Set up the embedded object store's virtual environment.")
    parser.add_argument("--venv", type=Path, default=default_venv(), help="where it belongs (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        ensure_ministack(arguments.venv)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
