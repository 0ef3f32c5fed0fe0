"""Loaded by every Python process that has this folder in PYTHONPATH: writes down which of its threads are Python's.

So the benchmark tells threads of the interpreter from those of native libraries, which the kernel alone does not.
"""

import os
import threading
from pathlib import Path
from typing import Any

_FOLDER = os.environ.get("BENCH_THREADS")  # noqa: TID251 - no setting: it is read before any of Assay is there


def _note_threads(folder: Path) -> None:
    thread: Any = threading.Thread
    start_inner = thread._bootstrap_inner

    def note_and_start(self: threading.Thread) -> None:
        with (folder / str(os.getpid())).open("a") as file:
            file.write(f"{threading.get_native_id()} {self.name}\n")
        start_inner(self)

    thread._bootstrap_inner = note_and_start


if _FOLDER:
    _note_threads(Path(_FOLDER))
