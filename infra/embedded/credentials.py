"""The stack's passwords: random, made once for a data folder, kept in one file of mode 0600."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.embedded.errors import StackError
from infra.embedded.private_files import write_private


@dataclass(frozen=True, repr=False)
class Credentials:
    """Letters and digits only, so that none needs escaping in a URL or a configuration file."""

    postgres_password: str
    valkey_password: str
    s3_access_key: str
    s3_secret_key: str


def load_or_create(path: Path) -> Credentials:
    """Read the credentials of a data folder, or make them at its first start.

    Args:
        path: The credentials file.

    Returns:
        The same credentials for the life of the data folder.

    Raises:
        StackError: If the file is there but cannot be understood.
    """
    if path.exists():
        try:
            return Credentials(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            message = f"{path} is damaged; restore it from a backup, or remove the data folder to start afresh"
            raise StackError(message) from error
    made = Credentials(
        postgres_password=secrets.token_hex(24),
        valkey_password=secrets.token_hex(24),
        s3_access_key=f"ASSAY{secrets.token_hex(8).upper()}",
        s3_secret_key=secrets.token_hex(24),
    )
    write_private(path, json.dumps(asdict(made), indent=2) + "\n")
    return made
