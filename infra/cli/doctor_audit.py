"""`assay doctor --audit`: whether what must hold in the database does."""

import json

from rich.console import Console
from rich.markup import escape

from infra.cli.doctor_processes import opened
from worker.database.invariants import check_invariants
from worker.database.migrate import require_migrated
from worker.settings import Settings


def audit(settings: Settings, *, as_json: bool) -> bool:
    """Print each invariant and its violations; return whether all hold.

    Raises:
        AssayError: the database is away, or lacks a migration.
    """
    console, sound = Console(), True
    with opened(settings) as database:
        require_migrated(database)
        for checked in check_invariants(database):
            sound = sound and not checked.violations
            invariant = checked.invariant
            if as_json:
                counted = {"violations": checked.violations, "listed": checked.listed}
                print(json.dumps({"invariant": invariant.name, "says": invariant.says, **counted}))
                continue
            mark = "[red]✗[/]" if checked.violations else "[green]✓[/]"
            console.print(f"{mark} {invariant.says}", soft_wrap=True)
            for violation in checked.listed:
                console.print(f"  {escape(violation)}", soft_wrap=True, style="yellow")
            if checked.violations > len(checked.listed):
                console.print(f"  … {checked.violations} in all", style="yellow")
    return sound
