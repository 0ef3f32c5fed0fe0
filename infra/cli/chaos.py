"""`assay chaos`: faults on purpose, and the proof that no image is lost, doubled or given up."""

import json
import os
import sys
from functools import partial
from typing import Annotated

import typer

from worker.errors import AssayError


def chaos(
    against: Annotated[
        str | None,
        typer.Option(
            help="URL of a staging deployment's API; its other parts by ASSAY_* settings, an admin key in "
            "ASSAY_API_KEY. Without it all of Assay starts here in an empty folder, and its processes are hurt too."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Where chance begins: the faults' order, the pictures.")] = 0,
    only: Annotated[list[str] | None, typer.Option(help="Faults of this name, such as `kill *`; repeatable.")] = None,
    images: Annotated[int, typer.Option(min=4, help="Images beside each fault.")] = 16,
    patience: Annotated[float, typer.Option(min=1, help="Seconds after which an image without end is lost.")] = 120.0,
) -> None:
    """Strike faults while images pour in; the last line is one JSON object, exit code 1 unless nothing was lost."""
    from infra.chaos.run import Terms, run

    key = os.environ.get("ASSAY_API_KEY", "")  # noqa: TID251 - no process of Assay's has this setting
    if against and not key:
        raise AssayError("set ASSAY_API_KEY to a key of the deployment with scope admin")
    total = run(Terms(seed, only or (), images, patience), against, key, partial(print, file=sys.stderr, flush=True))
    print(json.dumps(total))
    sys.exit(1 if any(total[bad] for bad in ("lost", "doubled", "dead", "violations", "leaks")) else 0)
