"""Reads docker-compose.yml: what each service runs, with what, and how its health is asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")


@dataclass(frozen=True)
class Service:
    """One service as Compose would start it.

    Attributes:
        name: of the service.
        command: the program and its arguments.
        environment: all that the file sets.
        health: the program and arguments that ask for its health; empty where none is.
        secrets: names of the secrets, which are files below ``/run/secrets``; ``raw`` says under which names.
        profiles: that it belongs to; none for what always runs.
        raw: the whole entry.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    health: tuple[str, ...]
    secrets: tuple[str, ...]
    profiles: tuple[str, ...]
    raw: Mapping[str, Any]


def read_services(path: Path, variables: Mapping[str, str] | None = None) -> dict[str, Service]:
    """Return the services by name.

    Args:
        path: the file.
        variables: values for ``${NAME:-default}``, as the shell or ``.env`` would give them.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = dict(variables or {})
    return {name: _service(name, _filled_in(entry, known)) for name, entry in document["services"].items()}


def _service(name: str, entry: Mapping[str, Any]) -> Service:
    # A shell's line is one argument behind its `-c`; everything here is a list, so nothing is split.
    test = tuple(entry.get("healthcheck", {}).get("test", ()))
    health = ("/bin/sh", "-c", *test[1:]) if test[:1] == ("CMD-SHELL",) else test[1:]
    return Service(
        name,
        (*entry.get("entrypoint", ()), *entry.get("command", ())),
        {key: str(value) for key, value in entry.get("environment", {}).items()},
        health,
        tuple(secret["source"] if isinstance(secret, dict) else secret for secret in entry.get("secrets", ())),
        tuple(entry.get("profiles", ())),
        entry,
    )


def _filled_in(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _value(found, known), value)
    if isinstance(value, list):
        return [_filled_in(item, known) for item in value]
    if isinstance(value, dict):
        return {key: _filled_in(item, known) for key, item in value.items()}
    return value


def _value(found: re.Match[str], known: Mapping[str, str]) -> str:
    name = found["name"]
    # As Compose has it: an empty value takes the default too, and `$$` is a dollar.
    return (known.get(name) or found["default"] or "") if name else "$"
