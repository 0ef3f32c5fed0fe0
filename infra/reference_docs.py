"""Writes what is generated: parts of `docs/`, each from its own definition, and the client for asyncio.

`python -m infra.reference_docs` writes them; `make docs` fails where one of them is out of date.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer
from prometheus_client import REGISTRY, CollectorRegistry
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from api.errors.catalogue import CATALOGUE
from api.main import create_app, services_from
from api.metrics import HttpMetrics
from infra.async_client import TWIN, async_client
from infra.cli.main import app as command_line
from worker.bundles.card import read_card
from worker.bundles.headline import headline
from worker.bundles.plain_files import read_json
from worker.bundles.release import shipped_bundle
from worker.settings import Settings

DOCS = Path(__file__).parents[1] / "docs"
_METHODS = ("get", "post", "put", "patch", "delete")


def settings_table() -> str:
    """Return the Markdown table of every setting: its variable, its default and what it means."""
    prefix = Settings.model_config["env_prefix"]
    rows = [
        f"| `{prefix}{name.upper()}` | {_shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return _table(("variable", "default", "meaning"), rows)


def commands_list() -> str:
    """Return every command of `assay` with its arguments and options, each with its help."""
    root = typer.main.get_command(command_line)
    return "\n\n".join(_command(words, command) for words, command in _walk("assay", root))


def routes_table() -> str:
    """Return the Markdown table of every route of the API."""
    schema = create_app(services_from(Settings())).openapi()
    rows = [
        f"| `{method.upper()} {path}` | {_first_line(operations[method].get('description', ''))} |"
        for path, operations in schema["paths"].items()
        for method in _METHODS
        if method in operations
    ]
    return _table(("route", "what it does"), rows)


def errors_table() -> str:
    """Return the Markdown table of every kind of error that the API answers with."""
    rows = [f"| `{code}` | {kind.status.value} | {kind.meaning} | {kind.remedy} |" for code, kind in CATALOGUE.items()]
    return _table(("type", "status", "what it means", "what to do"), rows)


def metrics_table() -> str:
    """Return the Markdown table of Assay's own metrics, but for the gauges of `worker/processes/store_metrics.py`."""
    api_registry = CollectorRegistry()
    HttpMetrics(api_registry)
    described = {
        metric.name: f"| `{metric.name}` | {metric.type} | {metric.documentation} |"
        for registry in (REGISTRY, api_registry)
        for metric in registry.collect()
        if metric.name.startswith("assay_")
    }
    return _table(("metric", "type", "what it counts"), [described[name] for name in sorted(described)])


def headline_table(*names: str) -> str:
    """Return the Markdown table of the leading figures of shipped bundles, each as its card has them."""
    columns = ("figure", "value", "")
    return "\n\n".join(_of_bundle(read_json(shipped_bundle(name) / "card.json"), columns) for name in names)


def _of_bundle(document: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    card = read_card(document)
    summary = headline(card)
    if summary is None:
        raise ValueError(f"the card of {card.bundle} has no figures")
    rows = [f"| {row.name} | {_bold(row.value)} | {row.note} |" for row in summary.rows()]
    return f"`{card.bundle}`: {summary.measured_on}.\n\n{_table(columns, rows)}"


def _bold(value: str) -> str:
    return value if "," in value else f"**{value}**"


def robustness_table() -> str:
    """Return the Markdown table of what changes of the pixels cost `wild`, and of its whole images."""
    card = read_card(read_json(shipped_bundle("wild") / "card.json"))
    folds, whole = card.measured_folds, card.whole_images
    changed = folds.changes.by_change if folds else {}
    rows = [f"| crops, {name.replace('_', ' ')} | {one.auroc:.3f} | | |" for name, one in changed.items()]
    for name, one in whole.by_change.items() if whole else ():
        counts = one.by_views["all"]
        accused = f"{counts.accused} of {counts.photographs:,}, at most {100 * counts.accused_at_most:.1f} %"
        rows.append(
            f"| whole images, {name} | {one.auroc:.3f} | {counts.found} of {counts.ai_generated:,} | {accused} |"
        )
    return _table(("images", "AUROC", "AI pictures found", "photographs accused"), rows)


def whole_images_line() -> str:
    """Say how `wild` does on whole images, which have several views, in heads that never saw their sources."""
    whole = read_card(read_json(shipped_bundle("wild") / "card.json")).whole_images
    if whole is None:
        raise ValueError("the card of `wild` has no whole images")
    counts = whole.by_change["as they are"].by_views["all"]
    share = 100 * counts.found / counts.ai_generated
    accused = f"{counts.accused} of {counts.photographs:,} photographs are accused"
    return (
        "These are single crops. Whole pictures have several views. By heads that never saw their sources,\n"
        f"{share:.0f} % of {counts.ai_generated:,} such AI pictures are found, and {accused}."
    )


PARTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "wild-figures": ("../README.md", partial(headline_table, "wild")),
    "wild-whole-images": ("../README.md", whole_images_line),
    "bundle-figures": ("bundles.md", partial(headline_table, "wild", "cifake")),
    "robustness": ("bundles.md", robustness_table),
    "settings": ("settings.md", settings_table),
    "commands": ("commands.md", commands_list),
    "routes": ("api.md", routes_table),
    "errors": ("api.md", errors_table),
    "metrics": ("metrics.md", metrics_table),
}


def replace_part(page: str, name: str, content: str) -> str:
    """Return a page with the part between its two markers replaced.

    Raises:
        ValueError: the page lacks the markers, or has them twice.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"put `{begin}` and `{end}` into the page, once each")
    return f"{page.partition(begin)[0]}{begin}\n{content}\n{end}{page.partition(end)[2]}"


def write_docs() -> None:
    """Write every generated part into its page, and the client's twin."""
    for name, (file, make) in PARTS.items():
        page = DOCS / file
        page.write_text(replace_part(page.read_text(encoding="utf-8"), name, make()), encoding="utf-8")
    TWIN.write_text(async_client(), encoding="utf-8")


def _walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    # typer brings a click of its own, so the classes of the package `click` say nothing here.
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from _walk(f"{words} {name}", child)
    else:
        yield words, command


def _command(words: str, command: Any) -> str:
    lines = [f"### `{words}`", "", _first_line(command.help or "")]
    rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
    return "\n".join([*lines, "", *rows] if rows else lines)


def _parameter(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    return f"- {names}: {_first_line(getattr(parameter, 'help', None) or 'see above')}"


def _first_line(text: str) -> str:
    return " ".join(text.strip().split("\n\n")[0].split()).replace("|", "\\|")


def _table(titles: tuple[str, ...], rows: list[str]) -> str:
    return "\n".join([f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *rows])


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
    write_docs()
