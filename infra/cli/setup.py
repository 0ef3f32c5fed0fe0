"""`assay setup`: what must hold before anything else starts; run at every start, it changes nothing twice."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from infra.cli.environment import load_settings
from infra.cli.migrations import migrate_with_roles
from worker.database.api_keys import Scope, fingerprint
from worker.database.audit import Actor, record
from worker.database.session import Database, connect
from worker.database.tables import ApiKey
from worker.objects.buckets import make_buckets
from worker.objects.clients import s3_client

_KEYS = {"ingest_key": ("object store", Scope.INGEST), "admin_key": ("operator", Scope.ADMIN)}


def setup(
    events_to: Annotated[
        str | None,
        typer.Option(help="ARN that the upload buckets' events go to: a queue's, or that of a webhook target."),
    ] = None,
) -> None:
    """Migrate the database and make its roles, register the keys of `assay init`, make buckets and notification."""
    settings = load_settings()
    database = connect(settings.database_url.get_secret_value())
    done = migrate_with_roles(database)
    registered = register_keys(database, settings.secrets_dir)
    made = make_buckets(s3_client(settings), settings, events_to)
    print(f"{done}; new keys: {registered}; new buckets: {made}", file=sys.stderr)


def register_keys(database: Database, folder: Path) -> list[str]:
    """Register the keys whose files lie in the folder; return the names of those that were unknown.

    A key that was revoked stays revoked.
    """
    new = []
    for file, (name, scope) in _KEYS.items():
        if not (folder / file).is_file():
            continue
        hashed = fingerprint((folder / file).read_text(encoding="utf-8").strip())
        with database.transaction() as session:
            if session.scalar(select(ApiKey.id).where(ApiKey.hash == hashed)) is None:
                row = ApiKey(name=name, hash=hashed, scopes=[scope.value])
                session.add(row)
                session.flush()
                record(session, Actor("assay"), "key.create", f"key:{row.id}", scopes=row.scopes)
                new.append(name)
    return new
