"""Puts the commands together and turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 usage. With ``--json`` standard output holds
JSON Lines alone; progress and errors go to standard error.
"""

import sys
from collections.abc import Callable

import typer
from pydantic import ValidationError

from infra.cli import bundles, demo, doctor, evaluate, init, keys, processes, scan, setup, train, up
from infra.embedded.errors import StackError
from worker.errors import AssayError

app = typer.Typer(
    name="assay",
    help="Tells platforms which of their users' uploads are AI-generated.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("demo", demo.demo),
    ("up", up.up),
    ("scan", scan.scan),
    ("evaluate", evaluate.evaluate),
    ("train", train.train),
    ("doctor", doctor.doctor),
    ("init", init.init),
    ("setup", setup.setup),
    ("worker", processes.worker),
    ("training-worker", processes.training_worker),
    ("dispatcher", processes.dispatcher),
    ("listener", processes.listener),
    ("api", processes.api),
    ("flower", processes.flower),
    ("sweep", processes.sweep),
    ("migrate", processes.migrate),
)
for _name, _command in _COMMANDS:
    app.command(_name)(_command)
app.add_typer(bundles.app, name="bundles")
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the command line; expected trouble is said in one line, without a traceback."""
    try:
        app()
    except (AssayError, StackError) as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        _fail(f"{error.name} is not installed here; this command needs another extra, such as assay[worker]")
    except ValidationError as error:
        wrong = "; ".join(
            f"ASSAY_{'_'.join(map(str, found['loc'])).upper()}: {found['msg']}"
            for found in error.errors(include_input=False, include_url=False)
        )
        _fail(f"a setting is wrong: {wrong}")


def _fail(line: str) -> None:
    print(f"assay: {line}", file=sys.stderr)
    sys.exit(1)
