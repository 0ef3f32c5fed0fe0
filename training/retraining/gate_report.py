"""Gate report: what the gate found, as one page for people, with nothing to fetch from anywhere and no images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from training.evaluation.report import MEASURES

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPLATES = Path(__file__).parent / "templates"
_SHOWN = ("auroc", "tpr_at_fpr_1pct", "accuracy", "recall", "false_positive_rate", "brier", "ece_15")


def render_gate(report: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """Lay a gate's report out as HTML.

    Args:
        report: what `training.retraining.gate.gate` gave.
        run: what is told of the training run, name to value.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure
    reach = max([0.02, *(abs(end) for rule in report["rules"] for end in rule["interval_95"] or ())])
    measures = {key: MEASURES[key] for key in _SHOWN}
    return environment.get_template("gate.html").render(report=report, run=run, measures=measures, reach=reach)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
