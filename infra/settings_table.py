"""Prints the README's table of settings: `python -m infra.settings_table`."""

import json
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from worker.settings import Settings

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def settings_table() -> str:
    """Return the Markdown table of every setting: its variable, its default and what it means."""
    prefix = Settings.model_config["env_prefix"]
    rows = [
        f"| `{prefix}{name.upper()}` | {_shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _shown(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return ""
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, tuple):
        default = json.dumps(default)
    return f"`{default}`"


if __name__ == "__main__":
    print(settings_table())  # noqa: T201 - its output is what it is for.
