"""A bundle's card as the console shows it: leading figures and charts first, the rest below. Pure, and tolerant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from worker.bundles.card import Card, CardError, read_card
from worker.bundles.card_charts import Chart, charts
from worker.bundles.headline import Headline, Row, accusations, headline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.bundles.card_measures import Evaluation, Measures


class CardSummary(NamedTuple):
    """What a page shows of a card.

    Attributes:
        card: read; an empty one where it cannot be.
        trouble: why it cannot be read, in words; None where it can.
        headline: its leading figures; None where it has none.
        charts: drawn of these.
        weaknesses: its own, and those of its evaluations.
    """

    card: Card
    trouble: str | None
    headline: Headline | None
    charts: list[Chart]
    weaknesses: list[str]

    @property
    def rows(self) -> list[Row]:
        """Return the headline's figures in words."""
        return self.headline.rows() if self.headline else []

    @property
    def worst_first(self) -> list[tuple[str, Measures]]:
        """Return the card's sources, the least accurate first; those without an accuracy last."""
        return sorted(self.card.by_source.items(), key=lambda item: (item[1].accuracy is None, item[1].accuracy or 0.0))

    @property
    def evaluations(self) -> list[tuple[Evaluation, list[Row]]]:
        """Return what was evaluated since, that of most images first, and who was accused there."""
        return [(one, accusations(one.negatives)) for one in self.card.largest_evaluations() if one.overall]


def summarise_card(document: Mapping[str, Any]) -> CardSummary:
    """Read a card for a page; one that is damaged shows why, and hides nothing else of the bundle."""
    try:
        card = read_card(document)
    except CardError as error:
        return CardSummary(Card(), error.detail, None, [], [])
    summary = headline(card)
    drawn = [one._replace(svg=Markup(one.svg)) for one in charts(summary)] if summary else []  # noqa: S704 (ours)  # nosec B704
    of_evaluations = [f"{one.data}: {words}" for one in card.largest_evaluations() for words in one.weaknesses]
    return CardSummary(card, None, summary, drawn, [*card.known_weaknesses, *of_evaluations])
