"""`make bench`: every benchmark that fits into a quarter of an hour; prints its rows and writes `build/bench.json`.

    python tests/bench/bench.py [--only budget,idle] [--data FOLDER]

Growth, peers, a GPU and soaks are targets of their own. A benchmark that fails leaves its rows "not measured", which is
not met, and ends this with exit code 1.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rows import Row, read_rows, table, write_rows

_HERE = Path(__file__).parent
_OUT = _HERE.parents[1] / "build" / "bench.json"
Report = Mapping[str, Any]


@dataclass(frozen=True)
class Bench:
    """A benchmark.

    Attributes:
        command: its file and arguments.
        rows: of the JSON that it prints; None where it writes its rows itself.
    """

    command: tuple[str, ...]
    rows: Callable[[Report, str], list[Row]] | None = None

    @property
    def as_typed(self) -> str:
        """Return the command as people write it."""
        return "python tests/bench/" + " ".join(self.command)


def throughput_rows(report: Report, command: str) -> list[Row]:
    """Return the rows of images a second, of the pipeline against what it is compared with."""
    bare, pipeline, plain = (report.get(f"{name}_images_s") for name in ("bare", "pipeline", "plain"))
    return [
        Row("throughput: bare loop", bare, "images/s", None, command),
        Row("throughput: pipeline", pipeline, "images/s", None, command),
        Row("throughput: plain Celery", plain, "images/s", None, command),
        Row("throughput: pipeline to bare loop", report.get("ratio"), "", 0.75, command, more_is_better=True),
        Row("throughput: pipeline to plain Celery", report.get("times_plain"), "", 3.0, command, more_is_better=True),
    ]


def api_rows(report: Report, command: str) -> list[Row]:
    """Return the rows of the API's latencies."""
    aims = {"image": 10.0, "verdict": 10.0, "search": 50.0}
    rates = {name: f"{report.get('asked_per_second', 0):g} a second" for name in aims}
    rates["search"] = f"{report.get('searched_per_second', 0):g} a second"
    size = f"{report.get('verdicts', 0):,} verdicts"
    return [
        Row(f"API: {name}, {part} at {size}, {rates[name]}", report.get(name, {}).get(f"{part}_ms"), "ms", aim, command)
        for name, limit in aims.items()
        for part, aim in (("p50", None), ("p99", limit))
    ]


BENCHES = {
    "throughput": Bench(("throughput.py", "--images", "400", "--json"), throughput_rows),
    "budget": Bench(("budget.py", "--images", "300")),
    "statements": Bench(("statements.py",)),
    "idle": Bench(("idle.py",)),
    "startup": Bench(("startup.py",)),
    "api": Bench(("api_latency.py", "--images", "200000", "--rate", "200", "--seconds", "10"), api_rows),
}
# These only print: their figures are compared by people.
BESIDE = (("evidence.py",), ("near.py",))


def main() -> None:
    """Run the benchmarks, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names, parted by commas: " + ", ".join(BENCHES))
    parser.add_argument("--data", help="folder of images for the throughput")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(BENCHES)
    rows: list[dict[str, object]] = []
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            bench = BENCHES[name]
            if given.data and name == "throughput":
                bench = Bench((*bench.command, "--data", given.data), bench.rows)
            found = run(bench, Path(scratch) / f"{name}.json")
            failed += [] if found else [name]
            rows += found or [Row(f"{name}: not measured", None, "", 0.0, bench.as_typed).to_json()]
            print(table(found), flush=True)
    if not given.only:
        for command in BESIDE:
            subprocess.run([sys.executable, str(_HERE / command[0]), *command[1:]], check=False)
    kept = [
        row for row in read_rows(_OUT) if not any(str(row["name"]).startswith(f"{_title(name)}:") for name in names)
    ]
    _OUT.parent.mkdir(parents=True, exist_ok=True)
    _OUT.write_text(json.dumps([*kept, *rows], indent=1) + "\n", encoding="utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _title(name: str) -> str:
    return {"api": "API", "startup": "start"}.get(name, name)


def run(bench: Bench, file: Path) -> list[dict[str, object]]:
    """Run a benchmark; return its rows, none where it failed."""
    command = [sys.executable, str(_HERE / bench.command[0]), *bench.command[1:]]
    own = bench.rows is None
    done = subprocess.run([*command, *(["--rows", str(file)] if own else [])], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        return []
    if bench.rows is not None:
        report = json.loads(done.stdout.splitlines()[-1])
        write_rows(file, bench.rows(report, bench.as_typed))
    return read_rows(file)


if __name__ == "__main__":
    main()
