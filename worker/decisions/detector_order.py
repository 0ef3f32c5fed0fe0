"""Detectors in the order in which they counted for a verdict. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any


def heaviest_first(names: Iterable[str], detectors: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Order detectors by what they added to the fused logit, whatever its sign; those without a vote come last.

    Args:
        names: those to be ordered; equal ones keep their order.
        detectors: a verdict's, by name, each with `logit` and, from this release on, `weight`.
    """
    return sorted(names, key=lambda name: -_share(detectors.get(name, {})))


def has_vote(detector: Mapping[str, Any]) -> bool:
    """Tell whether a verdict's detector counted; of verdicts of older releases that is not known, and taken for yes."""
    return bool(detector.get("weight", 1.0))


def _share(detector: Mapping[str, Any]) -> float:
    return float(abs(detector.get("weight", 0.0) * detector.get("logit", 0.0)))
