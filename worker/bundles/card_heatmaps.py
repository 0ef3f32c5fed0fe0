"""What a card tells of its heatmaps: whether they beat maps drawn at random."""

from pydantic import Field

from worker.bundles.card_part import Part


class AreaCheck(Part):
    """Deletion or insertion by a heatmap against a random map: areas under the probability, 0 to 1.

    Attributes:
        by_map, by_random_map: mean areas.
        gain: positive where the map is better than chance, with `interval_95`.
        share_better: of the pictures, those where it is better.
    """

    by_map: float | None = None
    by_random_map: float | None = None
    gain: float
    interval_95: tuple[float, float]
    share_better: float | None = None

    def in_words(self) -> str:
        """Say whether the maps beat chance: they do where the whole interval lies above zero."""
        low, high = self.interval_95
        against = "better than" if low > 0 else "worse than" if high < 0 else "no better than"
        return f"{against} a random map ({self.gain:+.3f})"


class HeatmapCheck(Part):
    """One detector's heatmaps by one method, at one layer.

    `shuffled` is the mean rank correlation with maps of shuffled weights.
    """

    layer: str = ""
    deletion: AreaCheck
    insertion: AreaCheck
    shuffled: float | None = None

    def in_words(self) -> str:
        """Say whether the maps beat chance, and how alike they stay when the weights are shuffled."""
        alike = "" if self.shuffled is None else f", {self.shuffled:.2f} alike with shuffled weights"
        return f"deletion {self.deletion.in_words()}, insertion {self.insertion.in_words()}{alike}"


class HeatmapChecks(Part):
    """Heatmaps against random maps: by detector, then by method."""

    images: int
    detectors: dict[str, dict[str, HeatmapCheck]] = Field(default_factory=dict)
