"""`assay evaluate`: a bundle and labelled images → every measure, and a page for people."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.environment import adopt
from worker.errors import AssayError
from worker.settings import Settings


def evaluate(  # noqa: PLR0917 (typer calls it by name)
    data: Annotated[
        list[str],
        typer.Option(help="Parquet, CSV, folder of pictures (real/ and fake/) or s3://bucket/prefix; repeatable."),
    ],
    bundle: Annotated[str | None, typer.Option(help="`wild`, `cifake`, or a bundle's folder.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write one HTML page that needs nothing else.")] = None,
    held_out_of: Annotated[str | None, typer.Option(help="Only what this recipe holds out of training.")] = None,
    without: Annotated[list[Path] | None, typer.Option(help="Leave out images that occur in these.")] = None,
    part: Annotated[str | None, typer.Option(help="Only `training`, `validation` or `test` of split data.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many, evenly out of every source and class.")] = None,
    robustness: Annotated[int, typer.Option(min=0, help="Images judged again under each change; 0 for none.")] = 1000,
    false_positive_budget: Annotated[float, typer.Option(min=0, max=1, help="Of the policy.")] = 0.01,
    miss_budget: Annotated[float, typer.Option(min=0, max=1, help="Of the policy.")] = 0.05,
    prior_shift: Annotated[float, typer.Option(help="Of the policy: a logit offset.")] = 0.0,
    write_card: Annotated[bool, typer.Option("--write-card", help="Add the measures to the bundle's card.")] = False,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 for one on each core.")] = 0,
    device: Annotated[str | None, typer.Option(help="A torch device; default a GPU where there is one.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="The whole report as one JSON object.")] = False,
) -> None:
    """Measure a bundle on labelled images; progress goes to standard error."""
    # Threads that spin while they wait take the cores from those that decode.
    adopt({"OMP_WAIT_POLICY": "PASSIVE"})
    # torch takes seconds to import; usage errors should not.
    from training import evaluate as evaluation
    from training.export_card import evaluation_entry
    from training.labelled_bucket import local_data
    from training.report import render, wrong_images
    from worker.detectors.bundle import load_bundle
    from worker.detectors.bundle_folder import add_to_card
    from worker.detectors.device import pick_device, set_threads

    settings = Settings()
    set_threads(threads or settings.torch_threads)
    cache = settings.data_dir / "cache"
    pictures = evaluation.chosen_pictures(
        [local_data(place, cache, settings) for place in data],
        held_out=held_out_of,
        seen=without or [],
        part=part,
        limit=limit,
    )
    try:
        folder = evaluation.find_bundle(bundle or settings.bundle)
        loaded = load_bundle(folder, pick_device(device or settings.device))
    except ValueError as error:  # a bundle that is missing or damaged, a device that is not there
        raise AssayError(str(error)) from error
    policy = evaluation.Policy(false_positive_budget, miss_budget, prior_shift)
    found = evaluation.evaluate(loaded, pictures, policy, robustness)
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(render(found, wrong_images(found, pictures)), encoding="utf-8")
        print(f"the report is {report}", file=sys.stderr)
    if write_card:
        name = " ".join([*(Path(place).name for place in data), f"held out of {held_out_of}" if held_out_of else ""])
        add_to_card(folder, evaluation_entry(name.strip(), found))
    print(json.dumps(found) if json_ else evaluation.as_text(found), end="\n" if json_ else "")
