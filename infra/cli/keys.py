"""`assay keys`: makes, lists, rotates and revokes keys of the API."""

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.cli.environment import load_settings
from worker.database.api_keys import ApiKeys, Scope
from worker.database.audit import Actor
from worker.database.session import connect
from worker.database.tables import ApiKey

app = typer.Typer(help="Make, list, rotate and revoke keys of the API.", no_args_is_help=True)

KeyId = Annotated[int, typer.Argument(help="The number that `assay keys list` shows.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="For people, to tell keys apart.")],
    scope: Annotated[list[Scope], typer.Option(help="What the key allows; may be given several times.")],
    expires: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC time from which the key is refused."),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="The same as a number of days from now.")] = None,
) -> None:
    """Make a key and print it; it is shown this once."""
    end = _end(expires, days)
    with _keys() as keys:
        print(keys.create(name, scope, end, actor=operator()).key)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="JSON Lines on standard output.")] = False) -> None:
    """List the keys, without their secrets."""
    with _keys() as keys:
        all_keys = keys.list()
    if as_json:
        for key in all_keys:
            print(json.dumps(_describe(key)))
        return
    table = Table("id", "name", "scopes", "made", "expires", "revoked", "last used")
    for key in all_keys:
        times = (key.created_at, key.expires_at, key.revoked_at, key.last_used_at)
        shown = [time.strftime("%Y-%m-%d %H:%M") if time else "" for time in times]
        table.add_row(str(key.id), escape(key.name), " ".join(key.scopes), *shown)
    Console().print(table)


@app.command()
def rotate(
    key_id: KeyId,
    keep_hours: Annotated[float, typer.Option(min=0, help="Hours that the former key still works.")] = 24.0,
) -> None:
    """Make a key like another, which ends soon, and print the new one; it is shown this once."""
    with _keys() as keys:
        made = keys.rotate(key_id, keep=timedelta(hours=keep_hours), actor=operator())
    if made is None:
        raise typer.BadParameter(f"there is no key {key_id} that still works")
    print(made.key)


@app.command()
def revoke(key_id: KeyId) -> None:
    """Refuse a key from now on."""
    with _keys() as keys:
        revoked = keys.revoke(key_id, actor=operator())
    if not revoked:
        raise typer.BadParameter(f"there is no key {key_id} that still works")
    print(f"key {key_id} is revoked")


def _end(expires: datetime | None, days: int | None) -> datetime | None:
    if expires is not None and days is not None:
        raise typer.BadParameter("give --expires or --days, not both")
    end = expires.replace(tzinfo=UTC) if expires else datetime.now(UTC) + timedelta(days=days) if days else None
    if end is not None and end <= datetime.now(UTC):
        raise typer.BadParameter("this time is past; the key would never work")
    return end


def _describe(key: ApiKey) -> dict[str, object]:
    times = {name: getattr(key, name) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    shown = {name: time and time.isoformat() for name, time in times.items()}
    return {"id": key.id, "name": key.name, "scopes": key.scopes, **shown}


def operator() -> Actor:
    """Return who is at the command line, as the audit trail names them."""
    return Actor(f"cli:{getpass.getuser()}")


@contextmanager
def _keys() -> Iterator[ApiKeys]:
    database = connect(load_settings().database_url.get_secret_value())
    try:
        yield ApiKeys(database)
    finally:
        database.engine.dispose()
