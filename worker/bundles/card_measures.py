"""What a card tells of images: measures, by group and by kind, folds, evaluations, whole images, heatmaps.

Every field may be absent, for older cards lack some. What a model does not name travels along untouched.
"""

from pydantic import Field, JsonValue

from worker.bundles.card_heatmaps import HeatmapChecks
from worker.bundles.card_part import Part

Interval = tuple[float, float] | None
Intervals = dict[str, Interval]


class Measures(Part):
    """Measures of images, shares from 0 to 1; as `training.evaluation.metrics.measure` computes them.

    Attributes:
        images, ai_generated: counts.
        accuracy: cut at one half.
        auroc: None where a class is missing, like all measures that need both.
        tpr_at_fpr_1pct: AI-generated images found where 1 % of the others are accused.
        ece_15: expected calibration error over 15 bins, for even odds.
        ece_15_at_own_prior: the same for a policy that knows the images' share of AI-generated ones.
        coverage: verdicts other than `uncertain`.
        wrongly_accused: of images that are not AI-generated, those with the verdict `ai_generated`.
        found: of AI-generated images, those with the verdict `ai_generated`.
        verdicts: counts by verdict, then by class.
        intervals_95: by measure, for groups and changes.
        auroc_lost: by a change, against the unchanged images.
    """

    images: int
    ai_generated: int | None = None
    accuracy: float | None = None
    auroc: float | None = None
    tpr_at_fpr_1pct: float | None = None
    ece_15: float | None = None
    ece_15_at_own_prior: float | None = None
    coverage: float | None = None
    wrongly_accused: float | None = None
    found: float | None = None
    confusion: dict[str, int] | None = None
    verdicts: dict[str, dict[str, int]] | None = None
    intervals_95: Intervals = Field(default_factory=dict)
    auroc_lost: float | None = None


class Worst(Part):
    """The worst of several groups."""

    name: str
    images: int | None = None
    accuracy: float | None = None
    accused: int | None = None
    wrongly_accused: float | None = None


class Negatives(Part):
    """How one kind of images that are not AI-generated fares: photographs, or drawings by programs.

    Attributes:
        accused: how many have the verdict `ai_generated`; `wrongly_accused` is their share.
        wrongly_accused_at_most: Clopper-Pearson, one-sided, 95 %.
        worst_source: the one accused most.
    """

    images: int
    accused: int
    wrongly_accused: float
    wrongly_accused_at_most: float | None = None
    intervals_95: Intervals = Field(default_factory=dict)
    worst_source: Worst | None = None


class Certificate(Part):
    """The bound on photographs accused that the thresholds keep.

    Attributes:
        holds: the bound stays within `budget`.
        negatives, accused: images that calibrated it.
        rate_at_most: the bound, 0 to 1.
        scope: in words, images it is for.
    """

    holds: bool
    budget: float
    negatives: int
    accused: int | None = None
    rate_at_most: float
    scope: str = ""


class Curve(Part):
    """Points of a ROC curve, rates from 0 to 1."""

    false_positive_rate: list[float] = Field(default_factory=list)
    true_positive_rate: list[float] = Field(default_factory=list)


class ReliabilityBin(Part):
    """Images whose probability lies in one bin: what was said of them, and what is so."""

    images: int
    mean_probability: float
    ai_generated_share: float


class Histogram(Part):
    """Images by probability: B + 1 edges, and counts of B bins for each class."""

    edges: list[float]
    not_ai_generated: list[int]
    ai_generated: list[int]


class Curves(Part):
    """Points that charts draw; each may be absent."""

    roc: Curve | None = None
    reliability: list[ReliabilityBin] = Field(default_factory=list)
    histogram: Histogram | None = None


class Thresholds(Part):
    """Thresholds of the shipped policy, probabilities."""

    lower: float
    upper: float


class Change(Part):
    """The same images after a change of their pixels."""

    auroc: float | None = None
    auroc_lost: float | None = None
    photographs: int | None = None
    accused: int | None = None
    ai_generated_found: float | None = None


class Changes(Part):
    """Some images judged again after each change."""

    images: int | None = None
    by_change: dict[str, Change] = Field(default_factory=dict)


class Fold(Part):
    """One fold: its sources were judged by detectors fitted without them."""

    sources: list[str]
    images: int
    auroc_by_detector: dict[str, float] = Field(default_factory=dict)
    auroc_of_added_logits: float | None = None


class Folds(Part):
    """Every source judged by detectors that never saw it, all folds together: a bundle's headline figures.

    Attributes:
        command: makes them again.
        overall: measures of all images.
        intervals_95: of `overall`, sources drawn together.
        auroc_by_ai_source: each AI source's AUROC against all photographs of its fold.
        auroc_mean_over_ai_sources, worst_five_ai_sources: out of these.
        thresholds: of the shipped policy, by all images.
        minutes: of fitting, by detector, of those that are fitted for a time.
    """

    command: str = ""
    overall: Measures
    folds: list[Fold] = Field(default_factory=list)
    minutes: dict[str, float] = Field(default_factory=dict)
    auroc_by_detector: dict[str, float] = Field(default_factory=dict)
    auroc_of_added_logits: float | None = None
    intervals_95: Intervals = Field(default_factory=dict)
    negatives: dict[str, Negatives] = Field(default_factory=dict)
    auroc_by_ai_source: dict[str, float] = Field(default_factory=dict)
    auroc_mean_over_ai_sources: float | None = None
    worst_five_ai_sources: dict[str, float] = Field(default_factory=dict)
    changes: Changes = Changes()
    curves: Curves | None = None
    thresholds: Thresholds | None = None


class Robustness(Part):
    """Images of an evaluation judged again after each change."""

    images: int
    changes: dict[str, Measures] = Field(default_factory=dict)


class EvaluatedData(Part):
    """Images of an evaluation."""

    fingerprint_sha256: str | None = None
    sources: JsonValue = None


class Evaluation(Part):
    """What `assay evaluate` measured on some images.

    Attributes:
        data: the options that chose them.
        covers: what the options leave out, in words.
        weaknesses: in words.
    """

    data: str = "data"
    command: str | None = None
    covers: str | None = None
    data_facts: EvaluatedData = EvaluatedData()
    overall: Measures | None = None
    intervals_95: Intervals = Field(default_factory=dict)
    negatives: dict[str, Negatives] = Field(default_factory=dict)
    by_source: dict[str, Measures] = Field(default_factory=dict)
    robustness: Robustness | None = None
    heatmaps: HeatmapChecks | None = None
    curves: Curves | None = None
    thresholds: Thresholds | None = None
    certificate: Certificate | None = None
    weaknesses: list[str] = Field(default_factory=list)


class WholeCounts(Part):
    """Whole images by verdict."""

    photographs: int
    accused: int
    accused_at_most: float
    ai_generated: int
    found: int
    cleared: int


class WholeChange(Part):
    """Whole images after one change: their order, and counts by how many crops they fill."""

    auroc: float
    by_views: dict[str, WholeCounts]


class WholeImages(Part):
    """Whole images, judged over several views."""

    images: int
    sources: list[str]
    heads: str
    thresholds: Thresholds | None = None
    by_change: dict[str, WholeChange]
