"""`assay evaluate`: a bundle and labelled images → every measure, and a page for people."""

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.bundles_open import folder_of
from infra.cli.environment import adopt, load_settings
from infra.cli.output import writable_file, writable_folder
from worker.bundles.release import of_release
from worker.decisions.policy import FIRST_RULES, Rules
from worker.errors import AssayError

if TYPE_CHECKING:
    from training.evaluation.pictures import Pictures
    from worker.bundles.loaded import Bundle
    from worker.settings import Settings


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


def _must_take_a_card(named: str, folder: Path) -> None:
    if not Path(named).is_dir() and folder not in [shipped for shipped, _ in of_release()]:
        raise typer.BadParameter("a card is written into a folder: `assay bundles export` it first")
    writable_folder(folder)


def _entry_options(  # what a card's entry is called by
    data: list[str], held_out_of: str | None, part: str | None, limit: int | None, without: list[Path]
) -> str:
    """Return the options that chose the images; of places on this machine the last parts, the rest says nothing."""
    chosen: list[tuple[str, object]] = [("--data", name) for name in data]
    chosen += [("--held-out-of", held_out_of), ("--part", part), ("--limit", limit)]
    chosen += [("--without", name) for name in without]
    return " ".join(f"{option} {Path(str(value)).name}" for option, value in chosen if value)


def _prepare_device(device: str, threads: int) -> str:
    # torch takes seconds to import; usage errors should not.
    from worker.detectors.device import pick_device, set_threads

    set_threads(threads)
    return pick_device(device)


def _open(settings: "Settings", device: str, folder: Path) -> "Bundle":
    from worker.bundles.opening import opening

    try:
        return opening(settings, device).open(folder)
    except ValueError as error:  # a damaged bundle
        raise AssayError(str(error)) from error


def _detectors(bundle: "Bundle", names: list[str] | None) -> list[str]:
    if unknown := set(names or ()) - set(bundle.detector_names):
        raise AssayError(f"there is no detector {min(unknown)!r}; there are {', '.join(bundle.detector_names)}")
    return names or []


def _write_page(report: Path | None, measures: dict[str, Any], pictures: "Pictures") -> None:
    from training.evaluation.report import render, wrong_images

    if report is None:
        return
    page = render(measures, wrong_images(measures, pictures))
    report.write_text(page, encoding="utf-8", errors="backslashreplace")  # names of files may be no UTF-8
    print(f"the report is {report}", file=sys.stderr)


def _print(measures: dict[str, Any], *, as_json: bool) -> None:
    from training.evaluation.evaluate import as_text
    from training.evaluation.heatmap_checks import in_words
    from worker.bundles.card_heatmaps import HeatmapChecks

    if as_json:
        print(json.dumps(measures))
        return
    print(as_text(measures), end="")
    if "heatmaps" in measures:
        print("heatmaps", *in_words(HeatmapChecks.model_validate(measures["heatmaps"])), sep="\n  ")


def evaluate(  # noqa: PLR0917 (typer calls it by name)
    data: Annotated[
        list[str],
        typer.Option(help="Parquet, CSV, folder of pictures (real/ and fake/) or s3://bucket/prefix; repeatable."),
    ],
    bundle: Annotated[str | None, typer.Option(help="As for `assay bundles show`; default ASSAY_BUNDLE.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write one HTML page that needs nothing else.")] = None,
    held_out_of: Annotated[str | None, typer.Option(help="Only what this recipe holds out of training.")] = None,
    without: Annotated[list[Path] | None, typer.Option(help="Leave out images that occur in these.")] = None,
    part: Annotated[str | None, typer.Option(help="Only `training`, `validation` or `test` of split data.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many, evenly out of every source and class.")] = None,
    robustness: Annotated[int, typer.Option(min=0, help="Images judged again under each change; 0 for none.")] = 1000,
    heatmaps: Annotated[
        int, typer.Option(min=0, help="AI pictures whose heatmaps are put to the test; 0 for none.")
    ] = 0,
    heatmaps_of: Annotated[list[str] | None, typer.Option(help="Detectors whose heatmaps; default all.")] = None,
    false_positive_budget: Annotated[float, typer.Option(min=0, max=1, callback=_finite, help="Of the policy.")] = (
        FIRST_RULES.false_positive_budget
    ),
    miss_budget: Annotated[float, typer.Option(min=0, max=1, callback=_finite, help="Of the policy.")] = (
        FIRST_RULES.miss_budget
    ),
    prior_shift: Annotated[float, typer.Option(callback=_finite, help="Of the policy: a logit offset.")] = (
        FIRST_RULES.prior_shift
    ),
    write_card: Annotated[bool, typer.Option("--write-card", help="Add the measures to the bundle's card.")] = False,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 for one on each core.")] = 0,
    device: Annotated[str | None, typer.Option(help="A torch device; default a GPU where there is one.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="The whole report as one JSON object.")] = False,
) -> None:
    """Measure a bundle on labelled images; progress goes to standard error."""
    # Threads that spin while they wait take the cores from those that decode.
    adopt({"OMP_WAIT_POLICY": "PASSIVE"})
    # Before anything is read: what is wrong with these would else be found out after the work.
    settings = load_settings()
    picked = _prepare_device(device or settings.device, threads or settings.torch_threads)
    if report is not None:
        writable_file(report)

    from training.evaluation import evaluate as evaluation
    from training.evaluation.heatmap_checks import heatmap_checks
    from training.export.card import evaluation_entry
    from training.retraining.labelled_bucket import local_data
    from worker.bundles.card import read_card
    from worker.bundles.folder import add_to_card

    cache = settings.data_dir / "cache"
    named, excluded = bundle or settings.bundle, without or []
    with folder_of(named) as folder:
        if write_card:
            _must_take_a_card(named, folder)
        loaded = _open(settings, picked, folder)
        only = _detectors(loaded, heatmaps_of)
        pictures = evaluation.chosen_pictures(
            [local_data(place, cache, settings) for place in data],
            held_out=held_out_of,
            excluded=excluded,
            part=part,
            limit=limit,
            fitted_without=read_card(loaded.card).held_out_sources,
        )
        rules = Rules(false_positive_budget, miss_budget, prior_shift)
        measures = evaluation.evaluate(loaded, pictures, rules, robustness)
        if heatmaps:
            checks = heatmap_checks(loaded, pictures.take(pictures.labels == 1), heatmaps, only=only)
            measures["heatmaps"] = checks.document()
        _write_page(report, measures, pictures)
        if write_card:
            options = _entry_options(data, held_out_of, part, limit, excluded)
            add_to_card(folder, evaluation_entry(options, measures).document())
    _print(measures, as_json=json_)
