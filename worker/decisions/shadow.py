"""Which live images a challenger scans in shadow, and what its verdicts would change. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.decisions.vocabulary import VerdictValue

_SPACE = 2**64


@dataclass(frozen=True)
class Challenger:
    """The bundle that scans in shadow, and the share of live images that it scans, 0 to 1."""

    version: str
    share: float

    def takes(self, image_pk: int) -> bool:
        """Tell whether it scans this image: always the same ones, spread evenly, others than another bundle's."""
        digest = hashlib.sha256(f"{self.version}:{image_pk}".encode()).digest()
        return int.from_bytes(digest[:8]) < self.share * _SPACE


@dataclass(frozen=True)
class Pair:
    """What champion and challenger made of one image: verdicts by the same policy, and probabilities."""

    source: str
    champion: str
    challenger: str
    champion_probability: float
    challenger_probability: float
    count: int = 1


def flip_report(pairs: Iterable[Pair]) -> dict[str, Any]:
    """Sum up what would change.

    Returns:
        `images`; `flips`, how many verdicts differ; `flip_rate`, None without images; `matrix`, champion's verdict to
        the challenger's to a count; `by_source`, source to `images`, `flips` and `newly_accused`; `newly_accused` and
        `no_longer_accused`, images that become and stop being `ai_generated`; `mean_shift`, of the probability.
    """
    matrix: dict[str, Counter[str]] = {}
    by_source: dict[str, Counter[str]] = {}
    shift = 0.0
    for pair in pairs:
        matrix.setdefault(pair.champion, Counter())[pair.challenger] += pair.count
        of_source = by_source.setdefault(pair.source, Counter(images=0, flips=0, newly_accused=0))
        of_source["images"] += pair.count
        of_source["flips"] += pair.count * (pair.champion != pair.challenger)
        of_source["newly_accused"] += pair.count * _accused(pair.challenger, but_not=pair.champion)
        shift += pair.count * (pair.challenger_probability - pair.champion_probability)
    images = sum(of_source["images"] for of_source in by_source.values())
    flips = sum(of_source["flips"] for of_source in by_source.values())
    return {
        "images": images,
        "flips": flips,
        "flip_rate": flips / images if images else None,
        "newly_accused": _moved(matrix, into=VerdictValue.AI_GENERATED),
        "no_longer_accused": _moved(matrix, out_of=VerdictValue.AI_GENERATED),
        "mean_shift": shift / images if images else None,
        "matrix": {old: dict(new) for old, new in sorted(matrix.items())},
        "by_source": {source: dict(counts) for source, counts in sorted(by_source.items())},
    }


def obstacles(gate: Mapping[str, Any] | None, images: int, least: int, champion: str) -> list[str]:
    """Say what bars a bundle from promotion; empty when nothing does.

    Args:
        gate: the gate's report, with `passed`, `champion` (the version it compared with) and `rules`, each with `name`
            and `passed`; None where none was made.
        images: that the bundle has judged in shadow.
        least: that it must have.
        champion: version of the bundle that serves.
    """
    bars = []
    if gate is None:
        bars.append("no gate has compared it with a champion")
    elif not gate["passed"]:
        failed = [str(rule["name"]) for rule in gate.get("rules", ()) if not rule["passed"]]
        bars.append("the gate stopped it" + (f" ({', '.join(failed)})" if failed else ""))
    elif gate.get("champion") != champion:
        bars.append(f"the gate compared it with {gate.get('champion')}, not with the champion: train it again")
    if images < least:
        bars.append(f"it has judged {images} of {least} images in shadow")
    return bars


def _accused(verdict: str, *, but_not: str) -> bool:
    return verdict == VerdictValue.AI_GENERATED != but_not


def _moved(matrix: Mapping[str, Mapping[str, int]], *, into: str = "", out_of: str = "") -> int:
    return sum(
        count
        for old, row in matrix.items()
        for new, count in row.items()
        if old != new and (new == into or old == out_of)
    )
