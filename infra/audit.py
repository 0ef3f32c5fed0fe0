"""`make audit`: known vulnerabilities of everything that is locked, by `uv audit` and the advisories of osv.dev."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
_PIN = re.compile(r"^([a-z0-9._-]+(?:\[[a-z0-9,._-]+\])?==[^ \\]+(?: ; [^\\]+?)?) *\\?$", re.MULTILINE)


def script_of(lock: str) -> str:
    """Return an empty script that depends on all that a lock pins, as `uv audit` reads it."""
    pins = "".join(f"#   {pin!r},\n" for pin in _PIN.findall(lock))
    return f'# /// script\n# requires-python = ">=3.11"\n# dependencies = [\n{pins}# ]\n# ///\n'


def main() -> int:
    """Audit; 0 where nothing is known, else what uv ends with, which says why."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "locked.py"
        script.write_text(script_of((REPOSITORY / "requirements.lock").read_text(encoding="utf-8")), encoding="utf-8")
        uv = Path(sys.executable).with_name("uv")
        return subprocess.run([uv, "audit", "--preview-features", "audit", "--script", script], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
