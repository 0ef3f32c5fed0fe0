"""Puts the commands together and turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 usage. With ``--json`` standard output holds
JSON Lines alone; progress and errors go to standard error.
"""

import io
import re
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from infra.cli.commands import LazyGroup
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
    cls=LazyGroup,
)


def _print_version(is_asked_for: bool) -> None:
    if is_asked_for:
        print(f"assay {version('assay')}")
        raise typer.Exit


_FIELD = re.compile(r'field "(\w+)"')


@app.callback()
def _root(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Be the root of all commands: without it, typer would take the app for one command."""


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
            f"ASSAY_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
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


def _fail(message: str) -> None:
    print("assay:", "\n".join(map(printable, message.split("\n"))), file=sys.stderr)
    sys.exit(1)
