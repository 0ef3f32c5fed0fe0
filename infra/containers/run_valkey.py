"""Stands in for the official Valkey image's entrypoint: the server runs as `valkey`, with its data in `/data`.

It runs under the image's own Python and imports nothing of Assay.
"""

import os
import pwd
import sys
from pathlib import Path

_DATA = Path("/data")
_SERVER = "valkey-server"


def main(arguments: list[str]) -> None:
    """Become the Valkey user and turn into the server; any other command is run as it is."""
    if arguments[:1] == [_SERVER] and os.geteuid() == 0:
        account = pwd.getpwnam("valkey")
        for path in (_DATA, *_DATA.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.chdir(_DATA)
    os.execvp(arguments[0], arguments)  # noqa: S606 - as entrypoints do  # nosec B606


if __name__ == "__main__":
    main(sys.argv[1:])
