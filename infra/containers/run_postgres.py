"""Stands in for the official Postgres image's entrypoint: the same variables, secret files and data folder.

It runs under the image's own Python and imports nothing of Assay.
"""

import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_HOME = Path("/var/lib/postgresql")
_DATA = _HOME / "18" / "docker"
_PROGRAMS = Path("/opt/postgres/bin")


def main(arguments: list[str]) -> None:
    """Become the Postgres user, make the cluster if there is none, and turn into the server.

    Args:
        arguments: the container's command; anything but ``postgres …`` is run as it is.
    """
    if arguments[:1] != ["postgres"]:
        os.execvp(arguments[0], arguments)  # noqa: S606 - as entrypoints do  # nosec B606
    _become("postgres", _HOME)
    if not (_DATA / "PG_VERSION").exists():
        make_cluster(os.environ, _DATA)  # noqa: TID251 - the official image's interface
    server = str(_PROGRAMS / "postgres")
    os.execv(server, [server, "-D", str(_DATA), "-c", "listen_addresses=*", *arguments[1:]])  # noqa: S606 - as entrypoints do  # nosec B606


def make_cluster(variables: Mapping[str, str], data: Path) -> None:
    """Make the cluster and its database beside their place, and move them there whole."""
    user = variables.get("POSTGRES_USER", "postgres")
    draft = data.with_name("draft")
    shutil.rmtree(draft, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as password:
        password.write(_value(variables, "POSTGRES_PASSWORD"))
        password.flush()
        initdb = [str(_PROGRAMS / "initdb"), "-D", str(draft), "-U", user, f"--pwfile={password.name}"]
        initdb += ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"]
        subprocess.run([*initdb, *shlex.split(variables.get("POSTGRES_INITDB_ARGS", ""))], check=True)
    with (draft / "pg_hba.conf").open("a", encoding="utf-8") as rules:
        rules.write("host all all all scram-sha-256\n")
    database = variables.get("POSTGRES_DB", user)
    alone = [str(_PROGRAMS / "postgres"), "--single", "-j", "-D", str(draft), "postgres"]
    subprocess.run(alone, input=f'CREATE DATABASE "{database}";\n', text=True, check=True)
    draft.rename(data)


def _value(variables: Mapping[str, str], name: str) -> str:
    """Return a variable, or what the file named by its ``_FILE`` twin holds."""
    if name in variables:
        return variables[name]
    return Path(variables[f"{name}_FILE"]).read_text(encoding="utf-8").strip()


def _become(user: str, home: Path) -> None:
    if os.geteuid() != 0:
        return
    account = pwd.getpwnam(user)
    _DATA.parent.mkdir(parents=True, exist_ok=True)
    for folder in (home, *home.rglob("*")):
        os.chown(folder, account.pw_uid, account.pw_gid)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


if __name__ == "__main__":
    main(sys.argv[1:])
