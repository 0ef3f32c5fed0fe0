"""The table of commands: a command's module is imported when somebody asks for it, for all together take seconds."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info, get_group_from_info
from typer.models import CommandInfo, TyperInfo

# Where each command is: a function of this name in this module of `infra.cli`.
_FUNCTIONS = {
    "demo": ("demo", "demo"),
    "up": ("up", "up"),
    "scan": ("scan", "scan"),
    "evaluate": ("evaluate", "evaluate"),
    "train": ("train", "train"),
    "doctor": ("doctor", "doctor"),
    "chaos": ("chaos", "chaos"),
    "capacity": ("capacity", "capacity"),
    "init": ("init", "init"),
    "setup": ("setup", "setup"),
    "worker": ("processes", "worker"),
    "training-worker": ("processes", "training_worker"),
    "dispatcher": ("processes", "dispatcher"),
    "listener": ("processes", "listener"),
    "api": ("processes", "api"),
    "flower": ("processes", "flower"),
    "sweep": ("processes", "sweep"),
    "migrate": ("processes", "migrate"),
}
# Modules that have commands of their own below one name.
_GROUPS = ("bundles", "encoders", "keys", "trust")


class LazyCommands(Mapping[str, Any]):
    """Commands by name, in the order of the help; each is built when it is looked up."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return a command; raises KeyError where there is none of this name."""
        if name not in self._built:
            self._built[name] = _group(name) if name in _GROUPS else _command(name, *_FUNCTIONS[name])
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names, without importing anything."""
        yield from (*_FUNCTIONS, *_GROUPS)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(_FUNCTIONS) + len(_GROUPS)


class LazyGroup(TyperGroup):
    """The root of the command line."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        commands: Any = LazyCommands()  # typer's own is one that can be added to; nobody does here
        self.commands = commands


def _command(name: str, module: str, function: str) -> Any:
    callback = getattr(import_module(f"infra.cli.{module}"), function)
    info = CommandInfo(name, callback=callback)
    return get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None)


def _group(name: str) -> Any:
    app: typer.Typer = import_module(f"infra.cli.{name}").app
    info = TyperInfo(app, name=name)
    return get_group_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None, suggest_commands=True)
