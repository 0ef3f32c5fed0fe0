"""How this machine reaches the package registry, lent to image builds as secrets."""

import configparser
import io
import ssl
import subprocess
import sys
from pathlib import Path

from infra.cli.environment import child_environment

_CERTIFICATES = "/run/secrets/ca.crt"
# What pip knows that means something inside a build: no folder of this machine does.
_KEPT = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")


def write_secrets(folder: Path) -> dict[str, Path]:
    """Write a pip.conf and the certificates that this machine trusts; return the build secrets by id."""
    certificates = folder / "ca.crt"
    certificates.write_text(_trusted(), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=child_environment())
    configuration = folder / "pip.conf"
    configuration.write_text(pip_conf(done.stdout), encoding="utf-8")
    return {"ca.crt": certificates, "pip.conf": configuration}


def pip_conf(listed: str) -> str:
    """Return a pip.conf for builds out of what `pip config list` says here.

    Args:
        listed: its output, lines such as ``global.timeout='60'``; a later line counts more.
    """
    options = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        words = [word for word in value.strip("'\"").split() if not word.startswith("file:")]
        if key in _KEPT and words:
            options[key] = " ".join(words)
    written = configparser.RawConfigParser()
    written["global"] = {**options, "cert": _CERTIFICATES}
    with io.StringIO() as text:
        written.write(text)
        return text.getvalue()


def _trusted() -> str:
    named = ssl.get_default_verify_paths().cafile
    return Path(named).read_text(encoding="utf-8") if named else ""
