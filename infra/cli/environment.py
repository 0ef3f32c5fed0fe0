"""Where a command finds its settings: the environment first, then the stack that runs beside it."""

import os
from collections.abc import Collection, Mapping
from difflib import get_close_matches

from infra.embedded.addresses import read_running_stack
from worker.log import configure_logging
from worker.settings import Settings

# How alike two names are, from 0 to 1, of which one is taken for a slip.
_MISSPELT = 0.9


def load_settings() -> Settings:
    """Return the settings, with the addresses of a stack that runs on the data folder where none are set."""
    settings = Settings()
    running = read_running_stack(settings.data_dir)
    if running is None:
        return settings
    adopt(running.environment())
    return Settings()


def log_trouble_alone(settings: Settings) -> None:
    """Keep the log of a command for people to warnings and worse, unless a level was set."""
    if "log_level" not in settings.model_fields_set:
        configure_logging("WARNING", settings.log_format)


def adopt(variables: Mapping[str, str]) -> None:
    """Set what the environment does not set itself, for this process and its children."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def child_environment(**extra: str) -> dict[str, str]:
    """Return the whole environment of a child process."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **extra}


def misspelt_settings() -> dict[str, str]:
    """Return the names of the environment that look like a setting's and are none, each with the one that is meant.

    Deployments have `ASSAY_` names of their own beside ours; one letter beside ours is nobody's.
    """
    ours = {f"ASSAY_{name.upper()}" for name in Settings.model_fields}
    others = sorted(name for name in os.environ if name.startswith("ASSAY_") and name not in ours)
    meant = {name: get_close_matches(name, ours, n=1, cutoff=_MISSPELT) for name in others}
    return {name: close[0] for name, close in meant.items() if close}


def only_these(keep: Collection[str]) -> None:
    """Forget every setting in this process' environment but these, so that nobody else's parts are meant."""
    for name in [name for name in os.environ if name.startswith("ASSAY_") and name not in keep]:
        del os.environ[name]
