"""What the statements of a scan cost the process that sends them: processor milliseconds a call.

python tests/bench/statements.py [--scans 150]
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any, TypeVar

sys.path.append(str(Path(__file__).parents[2]))  # tests are installed nowhere
from rows import Row, write_rows

from infra.embedded.stack import EmbeddedStack
from tests.conftest import Scanned
from worker.database.duplicates import Duplicates
from worker.database.features import StoredFeatures
from worker.database.migrate import upgrade
from worker.database.scans import ImageFacts, Scans
from worker.database.session import Database, connect

_COMMAND = "python tests/bench/statements.py"
_FEATURES = StoredFeatures(b"x" * 1000, {"clip": 1.0}, (0.1, 0.2))
_FACTS = {"size_bytes": 1000, "width": 100, "height": 100, "pdq": "01" * 128}
_VERDICT: dict[str, Any] = {
    "verdict": "uncertain",
    "decided_by": "machine",
    "policy_version": 1,
    "probability": 0.5,
    "lower_threshold": 0.2,
    "upper_threshold": 0.9,
    "detectors": {"clip": {"logit": 1.0, "probability": 0.7}},
    "provenance": {"c2pa": None},
}
Result = TypeVar("Result")


class Costs:
    """Processor seconds of this thread by what was called."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def of(self, name: str, call: Callable[[], Result]) -> Result:
        """Call, and note what it cost."""
        start = time.thread_time()
        result = call()
        self.seconds[name].append(time.thread_time() - start)
        return result


def main() -> None:
    """Measure on a Postgres of its own, once warm, and print milliseconds by call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=150)
    parser.add_argument("--rows", type=Path, help="file that the rows are written to as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o711)  # as root, Postgres runs as another user
        with EmbeddedStack(Path(scratch), parts=["postgres"], fixed_ports={"postgres": 0}) as addresses:
            database = connect(addresses.database_url)
            upgrade(database)
            scan_all(database, "warm", 20)
            costs = scan_all(database, "measured", given.scans)
            database.engine.dispose()
    milliseconds = {name: round(1000 * mean(seconds), 2) for name, seconds in costs.seconds.items()}
    print(json.dumps(milliseconds))
    if given.rows:
        unit = "ms of a core a call"
        rows = [Row(f"statements: {name}", ms, unit, None, _COMMAND) for name, ms in milliseconds.items()]
        write_rows(given.rows, rows)


def scan_all(database: Database, prefix: str, count: int) -> Costs:
    """Take so many images from their arrival to their verdicts, without looking at any."""
    costs, hands, scans, duplicates = Costs(), Scanned(database), Scans(database), Duplicates(database)
    bundle = hands.crown()
    scan_ids = [
        costs.of("register", lambda number=number: hands.arrive(f"{prefix}-{number}"))  # type: ignore[misc]
        for number in range(count)
    ]
    hands.dispatch(max_in_flight=count)
    for scan_id in scan_ids:
        _scan_one(costs, scans, duplicates, scan_id, bundle)
    return costs


def _scan_one(costs: Costs, scans: Scans, duplicates: Duplicates, scan_id: int, bundle: str) -> None:
    lease = costs.of("lease", lambda: scans.lease(scan_id, 60))
    assert lease is not None
    facts = ImageFacts(sha256=f"{scan_id:064d}", **_FACTS)  # type: ignore[arg-type]
    costs.of("look for the same bytes", lambda: duplicates.original(facts.sha256, bundle, 1))
    row = {**_VERDICT, "bundle_version": bundle}
    costs.of("complete", lambda: scans.complete(lease, row, [], facts, {"fetch": 1.0}, memory=_FEATURES))


if __name__ == "__main__":
    main()
