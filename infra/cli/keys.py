"""`assay keys`: makes, lists and revokes keys of the API."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.cli.environment import load_settings
from worker.store.api_keys import ApiKeys, Scope
from worker.store.session import connect

app = typer.Typer(help="Make, list and revoke keys of the API.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="For people, to tell keys apart.")],
    scope: Annotated[list[Scope], typer.Option(help="What the key allows; may be given several times.")],
    days: Annotated[int | None, typer.Option(min=1, help="Days after which the key is refused.")] = None,
) -> None:
    """Make a key and print it; it is shown this once."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    print(_keys().create(name, scope, expires_at).key)


@app.command("list")
def list_() -> None:
    """List the keys, without their secrets."""
    table = Table("id", "name", "scopes", "made", "expires", "revoked", "last used")
    for key in _keys().list():
        times = (key.created_at, key.expires_at, key.revoked_at, key.last_used_at)
        shown = [time.strftime("%Y-%m-%d %H:%M") if time else "" for time in times]
        table.add_row(str(key.id), escape(key.name), " ".join(key.scopes), *shown)
    Console().print(table)


@app.command()
def revoke(key_id: Annotated[int, typer.Argument(help="The number that `assay keys list` shows.")]) -> None:
    """Refuse a key from now on."""
    if not _keys().revoke(key_id):
        raise typer.BadParameter(f"there is no key {key_id}")
    print(f"key {key_id} is revoked")


def _keys() -> ApiKeys:
    return ApiKeys(connect(load_settings().database_url.get_secret_value()))
