"""`assay bundles build`: published networks and labelled images → a calibrated bundle."""

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.environment import load_settings


def build(  # noqa: PLR0917 (typer calls it by name)
    calibrate_on: Annotated[
        list[str], typer.Option(help="Labelled images: as for `assay evaluate --data`; repeatable.")
    ],
    name: Annotated[str, typer.Option(help="Of the bundle: small letters, digits, `.`, `_`, `-`.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    convnext: Annotated[str | None, typer.Option(help="A timm name, hub id, or folder in timm's format.")] = None,
    clip: Annotated[str | None, typer.Option(help="open_clip MODEL/TAG, hf-hub:ID, or folder in its format.")] = None,
    head: Annotated[Path | None, typer.Option(help="Linear head for the CLIP tower: safetensors; else fitted.")] = None,
    convnext_head: Annotated[
        Path | None, typer.Option(help="The same for the timm network, in place of its own.")
    ] = None,
    crops: Annotated[int, typer.Option(min=0, max=5, help="Native crops for timm's; 0: the reduced whole.")] = 0,
    scope: Annotated[str, typer.Option(help="In words: what the calibration images stand for.")] = "",
    licences: Annotated[str, typer.Option(help="In words: of the networks and the images.")] = "",
    robustness: Annotated[int, typer.Option(min=0, help="Images judged again under changes, for the card.")] = 500,
    device: Annotated[str | None, typer.Option(help="A torch device; default a GPU where there is one.")] = None,
) -> None:
    """Wrap published networks into a bundle, calibrated on your labelled images."""
    _check_networks(convnext, clip, convnext_head, head)
    refuse_if_there(out)
    from worker.bundles.folder import check_name

    check_name(name)  # not after minutes
    from training.evaluation.evaluate import chosen_pictures
    from training.export.published_networks import open_clip_tower, open_convnext
    from training.export.wrapped import Wrapping, build_wrapped
    from training.retraining.labelled_bucket import local_data
    from worker.detectors.device import pick_device, set_threads

    settings = load_settings()
    set_threads(settings.torch_threads)
    cache = settings.data_dir / "cache"
    pictures = chosen_pictures([local_data(place, cache, settings) for place in calibrate_on])
    detectors, origins = {}, {}
    if convnext is not None:
        detectors["convnext"] = open_convnext(convnext, crops=crops, head=convnext_head)
        origins["convnext"] = _origin(convnext)
    if clip is not None:
        detectors["clip"] = open_clip_tower(clip, head=head)
        origins["clip"] = _origin(clip)
    wrapping = Wrapping(
        name,
        detectors,
        origins,
        scope or f"images like the {len(pictures)} it was calibrated on",
        licences,
        robustness,
    )
    print(f"{build_wrapped(wrapping, pictures, out, pick_device(device or settings.device))}  {out}")


def _check_networks(convnext: str | None, clip: str | None, convnext_head: Path | None, head: Path | None) -> None:
    if convnext is None and clip is None:
        raise typer.BadParameter("give --convnext, --clip or both")
    if head is not None and clip is None:
        raise typer.BadParameter("--head is for the tower of --clip; the timm network's is --convnext-head")
    if convnext_head is not None and convnext is None:
        raise typer.BadParameter("--convnext-head is for the network of --convnext; the CLIP tower's is --head")


def _origin(network: str) -> str:
    """Return where a network is from; the way to a folder says nothing to anyone else."""
    return Path(network).name if Path(network).is_dir() else network


def refuse_if_there(folder: Path) -> None:
    """Refuse a folder that holds something: usage error."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise typer.BadParameter(f"{folder} is not empty; bundles are immutable, give a new folder")
