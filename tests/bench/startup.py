"""How long it takes until something serves or has answered: the command line, `assay scan` of one file, the API.

Processor time stands beside the clock's, for on a busy machine the latter says little. Each is run twice and the second
counts, so that exported networks and byte code lie ready.

    python tests/bench/startup.py
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench_images import gather
from rows import Row, write_rows

from infra.cli.environment import child_environment

_COMMAND = "python tests/bench/startup.py"
_SERVE = "import api.main; api.main.create_app(api.main.services_from(api.main.Settings()))"


def main() -> None:
    """Measure each, print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, help="file that the rows are written to as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        ((name, data),) = gather(None, 1, (512,)).items()
        picture = Path(scratch) / name
        picture.write_bytes(data)
        cli = [sys.executable, "-m", "infra.cli"]
        measured = {
            "a command's usage": second(lambda: run([*cli, "scan", "--help"])),
            "the API's modules and routes": second(lambda: run([sys.executable, "-c", _SERVE])),
            "assay scan of one file": second(lambda: run([*cli, "scan", str(picture), "--json"])),
        }
    print(json.dumps(measured))
    if given.rows:
        write_rows(given.rows, rows_of(measured))


def second(act: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Do it twice; return what the second time took."""
    act()
    return act()


def run(command: Sequence[str]) -> dict[str, float]:
    """Run a command to its end; return seconds by the clock and of processors, its children's included."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=child_environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"clock": round(time.perf_counter() - start, 2), "processor": round(spent, 2)}


def rows_of(measured: dict[str, dict[str, float]]) -> list[Row]:
    """Return the rows of the table of benchmarks."""
    aims = {"assay scan of one file": 4.0, "the API's modules and routes": 1.0}
    return [
        row
        for name, taken in measured.items()
        for row in (
            Row(f"start: {name}, by the clock", taken["clock"], "s", aims.get(name), _COMMAND),
            Row(f"start: {name}, of a processor", taken["processor"], "s", None, _COMMAND),
        )
    ]


if __name__ == "__main__":
    main()
