"""A bundle's card as one page for people: a paragraph, a table, four charts, and everything else below them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from worker.bundles.card_charts import charts
from worker.bundles.headline import accusations, headline

if TYPE_CHECKING:
    from worker.bundles.card import Card

_TEMPLATES = Path(__file__).parent / "templates"


def as_page(card: Card) -> str:
    """Lay a card out as HTML that needs nothing from anywhere."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    summary = headline(card)
    return environment.get_template("card.html").render(
        card=card,
        headline=summary,
        charts=[chart._replace(svg=Markup(chart.svg)) for chart in charts(summary)] if summary else [],  # noqa: S704 (ours)  # nosec B704
        evaluations=[(one, accusations(one.negatives)) for one in card.largest_evaluations() if one.overall],
        sources=sorted(card.by_source.items(), key=lambda item: item[1].accuracy or 0.0),
    )


def _percent(share: float | None) -> str:
    return "\N{EN DASH}" if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
