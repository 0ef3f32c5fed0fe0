"""`make bench-check`: compares ratios of the latest run with the stored ones, and fails where one is worse by 10 %.

Ratios within one run alone: absolute figures say as much of the machine as of Assay.

    python tests/bench/check.py            # after `make bench`
    python tests/bench/check.py --store    # lets the latest run be what later ones are compared with
"""

import argparse
import json
import sys
from pathlib import Path

from rows import read_rows

_LATEST = Path(__file__).parents[2] / "build" / "bench.json"
_STORED = Path(__file__).parent / "stored.json"
_WORSE = 0.10
# Names of rows that are ratios, more being better.
RATIOS = (
    "throughput: pipeline to bare loop",
    "throughput: pipeline to plain Celery",
    "peers: pipeline to the best peer",
)


def main() -> None:
    """Compare, or store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="store_true")
    given = parser.parse_args()
    latest = figures(_LATEST)
    if given.store:
        _STORED.write_text(json.dumps(latest, indent=1) + "\n", encoding="utf-8")
        return
    stored = json.loads(_STORED.read_text(encoding="utf-8")) if _STORED.exists() else {}
    worse = compare(stored, latest)
    for line in worse:
        print(line)
    if not stored or worse:
        sys.exit(1 if stored else "nothing is stored to compare with: run with --store after a run that is good")


def figures(path: Path) -> dict[str, float]:
    """Return the ratios of a run by name."""
    rows = {str(row["name"]): row["figure"] for row in read_rows(path)}
    return {name: float(figure) for name in RATIOS if isinstance(figure := rows.get(name), (int, float))}


def compare(stored: dict[str, float], latest: dict[str, float]) -> list[str]:
    """Return a line for each ratio that is worse than the stored one by more than a tenth, or is not there. Pure."""
    lines = []
    for name, before in stored.items():
        now = latest.get(name)
        if now is None:
            lines.append(f"{name}: not measured, was {before:.2f}")
        elif now < before * (1 - _WORSE):
            lines.append(f"{name}: {now:.2f}, was {before:.2f}")
    return lines


if __name__ == "__main__":
    main()
