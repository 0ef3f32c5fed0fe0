"""Puts the commands together and turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 usage. With ``--json`` standard output holds
JSON Lines alone; progress and errors go to standard error.
"""

import io
import re
import sys
from collections.abc import Callable

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from infra.cli import (
    bundles,
    chaos,
    demo,
    doctor,
    encoders,
    evaluate,
    init,
    keys,
    processes,
    scan,
    setup,
    train,
    trust,
    up,
)
from infra.cli.output import printable
from infra.embedded.errors import StackError
from worker.errors import AssayError
from worker.log import configure_logging
from worker.settings import Settings

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
    ("chaos", chaos.chaos),
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
app.add_typer(encoders.app, name="encoders")
app.add_typer(keys.app, name="keys")
app.add_typer(trust.app, name="trust")
_FIELD = re.compile(r'field "(\w+)"')


def main() -> None:
    """Run the command line; expected trouble is said in one line, without a traceback."""
    # Names of files need not be UTF-8; nothing that was found is lost because one cannot be printed.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    _configure_logging()
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
    except SettingsError as error:  # its field alone is named, never its value
        field = _FIELD.search(str(error))
        name = f"ASSAY_{field[1].upper()}" if field else "one of them"
        _fail(f'a setting is wrong: {name}: give a JSON list, such as ["uploads"]')
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)
        _fail(named)


def _configure_logging() -> None:
    """Send what is logged to standard error, whichever command logs it; a wrong setting is said by who needs it."""
    try:
        settings = Settings()
    except (ValidationError, SettingsError):
        return configure_logging("INFO", "json")
    return configure_logging(settings.log_level, settings.log_format)


def _fail(said: str) -> None:
    print("assay:", "\n".join(map(printable, said.split("\n"))), file=sys.stderr)
    sys.exit(1)
