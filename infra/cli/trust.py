"""`assay trust`: fetches and shows the lists of those whose C2PA signatures are trusted."""

import typer

from infra.cli.environment import load_settings
from infra.trust_lists import describe_lists, trust_client, update_lists, utc_now

app = typer.Typer(help="Fetch and show the C2PA's trust lists.", no_args_is_help=True)


@app.command("update")
def update() -> None:
    """Fetch the C2PA's trust list and time-stamping list and the interim list; workers read them when they start."""
    settings = load_settings()
    with trust_client() as client:
        update_lists(settings.c2pa_trust_lists, settings.data_dir / "trust", client=client, now=utc_now())
    show()


@app.command("show")
def show() -> None:
    """Show the lists that were fetched and how old they are."""
    for line in describe_lists(load_settings().data_dir / "trust", utc_now()):
        print(line)
