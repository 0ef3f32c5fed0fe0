"""`assay train`: a recipe and data → a bundle, or a report on classifiers."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.bundles_open import folder_of
from infra.cli.output import writable_folder


def train(  # noqa: PLR0917 (typer calls it by name)
    recipe: Annotated[str, typer.Option(help="A name in training/recipes, such as `wild`, or a TOML file.")],
    data: Annotated[str, typer.Option(help="Folder, Parquet file, CSV, or s3://bucket/prefix with labels here.")],
    out: Annotated[Path | None, typer.Option(help="The run's folder; default .assay/runs/RECIPE.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Everything in minutes, on few pictures.")] = False,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Wall clock for each detector.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE: change the recipe; repeatable.")] = None,
    detector: Annotated[str | None, typer.Option(help="Fit this one only, stop before calibration.")] = None,
    start_from: Annotated[str | None, typer.Option(help="Begin with this bundle's weights.", metavar="BUNDLE")] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 for one on each core.")] = 0,
    device: Annotated[str | None, typer.Option(help="A torch device; default a GPU where there is one.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="The result as one JSON object.")] = False,
) -> None:
    """Train; the same command again goes on where a killed run stopped."""
    # torch takes seconds to import; usage errors should not.
    from worker.detectors.device import pick_device, set_threads

    # Before anything is read: what is wrong with these would else be found out when the training is done.
    picked = pick_device(device or "auto")
    name = Path(recipe).stem if recipe.endswith(".toml") else recipe
    folder = writable_folder(out or Path(".assay/runs") / (f"{name}-smoke" if smoke else name))

    from training.classifiers.judge import as_text
    from training.train import order_of
    from training.train import train as run

    set_threads(threads)
    with folder_of(start_from) if start_from else nullcontext() as begun:
        order = order_of(
            recipe,
            data,
            folder,
            changes=set_ or [],
            smoke_run=smoke,
            minutes=minutes,
            device=picked,
            only=detector,
            start_from=begun,
        )
        result = run(order)
    print(f"the run's folder is {folder}; curves: tensorboard --logdir {folder}", file=sys.stderr)
    if json_:
        print(json.dumps(result))
    elif "networks" in result:
        print(as_text(result), end="")
    elif "bundle" in result:
        print(f"{result['bundle']}  {result['folder']}")
