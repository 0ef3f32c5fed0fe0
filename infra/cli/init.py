"""`assay init`: random secrets, a file each, for compose and for clusters; nothing has a default password."""

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import make_url

from infra.embedded.private_files import write_private
from worker.database.api_keys import PREFIX
from worker.database.roles import Role, url_of

# The folder lets nobody in but its owner. The files below it can be read by whoever they are handed to: a container
# sees a file alone, and Postgres, Valkey, the object store and Assay each run there as a user of their own.
_FOLDER_MODE = 0o700
_FILE_MODE = 0o444


def init(
    folder: Annotated[Path, typer.Argument(help="Where the files go; made if need be.")] = Path(".assay/secrets"),
) -> None:
    """Write random secrets, those alone that are not there yet; the files are named by the services that read them."""
    made = write_secrets(folder)
    print(f"{len(made)} secrets are new in {folder}, the others were kept", file=sys.stderr)
    for name in made:
        print(folder / name)


def write_secrets(folder: Path) -> list[str]:
    """Write what is missing; return the names of the new files.

    A file that is made of another, such as an address with its password,
    is written anew when the other one is new.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(_FOLDER_MODE)
    roots = [name for name in _ROOTS if _missing(folder / name)]
    for name in roots:
        _write(folder / name, _ROOTS[name]())
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in _ROOTS}
    derived = {name: text for name, (root, text) in derive(texts).items() if root in roots or _missing(folder / name)}
    for name, text in derived.items():
        _write(folder / name, text)
    return [*roots, *derived]


def derive(roots: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the files that are made of others: name → (the root it holds, its text)."""
    postgres, valkey = roots["postgres_password"], roots["valkey_password"]
    owner = make_url(f"postgresql+psycopg://assay:{postgres}@postgres:5432/assay")
    by_role = {f"database_url_{role.removeprefix('assay_')}": url_of(role, owner) for role in Role}
    return {
        # The owner's, for migrations; processes sign in with the roles that `assay setup` makes.
        "assay_database_url": ("postgres_password", owner.render_as_string(hide_password=False)),
        **{name: ("postgres_password", url.render_as_string(hide_password=False)) for name, url in by_role.items()},
        "assay_redis_url": ("valkey_password", f"redis://:{valkey}@valkey:6379/0"),
        "valkey.conf": ("valkey_password", f"requirepass {valkey}\n"),
    }


def _token() -> str:
    # Letters and digits only: none needs escaping in an address or a configuration file.
    return secrets.token_hex(24)


def _key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


_ROOTS = {
    "postgres_password": _token,
    "valkey_password": _token,
    "assay_s3_access_key_id": lambda: f"ASSAY{secrets.token_hex(8).upper()}",
    "assay_s3_secret_access_key": _token,
    "assay_flower_basic_auth": lambda: f"assay:{_token()}",
    "grafana_password": _token,
    # Keys of the API; `assay setup` registers them.
    "ingest_key": _key,
    "admin_key": _key,
}


def _missing(path: Path) -> bool:
    return not path.is_file() or not path.stat().st_size


def _write(path: Path, text: str) -> None:
    write_private(path, text)
    path.chmod(_FILE_MODE)
