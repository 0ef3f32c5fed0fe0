"""Whole images: do thresholds that stand on single crops hold where several views are judged together?

`python -m training.evaluation.whole_images --recipe wild --images FOLDER [--write-card]`. Heads are fitted in five
folds on what the bundle's replay holds of the crops: principal components of its encoders' features, which know no
label. So no image is judged by a head that saw its source. They stand in for the bundle's own heads, which saw all.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from training.calibration.calibrate import calibrate, figures_of
from training.calibration.fusion import fuse_all
from training.calibration.held_out_again import measured_again
from training.cross_fit import balanced
from training.data.collection import DataError
from training.evaluation.pictures import open_pictures, some
from training.export.run_bundle import SHIPPED
from training.fitting.augment import compressed
from training.fitting.encoder_features import give_engine
from training.fitting.encoder_head import LinearHead, fit_linear_head
from training.fitting.schedule import sampling_weights
from training.recipe_file import load_recipe
from training.retraining.heads import features_by_detector
from worker.bundles.card_measures import Thresholds, WholeChange, WholeCounts, WholeImages
from worker.bundles.folder import read_bundle, update_card
from worker.bundles.loaded import load_bundle
from worker.decisions.bounds import clopper_pearson_upper
from worker.decisions.policy import FIRST_RULES
from worker.detectors.encoder import EncoderDetector
from worker.errors import AssayError
from worker.images.decode import decode
from worker.images.views import coverage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from training.calibration.calibrate import CalibrationFit
    from training.calibration.fusion import Measurements
    from training.evaluation.pictures import Pictures
    from training.evaluation.scores import Change
    from training.recipe import Recipe
    from worker.bundles.loaded import Bundle
    from worker.decisions.calibration import Thresholds as Cuts

    Floats = NDArray[np.float64]

_CHANGES: dict[str, Change | None] = {"as they are": None, "JPEG 80": lambda image: compressed(image, "JPEG", 80)}
_VIEWS = ((1.0, 1.5), (1.5, 3.0), (3.0, 4.6), (4.6, 5.1))  # of what crops cover, in crops
_MAX_PIXELS = 200_000_000
_HEADS = "fitted in five folds on principal components of what the bundle stores, without the image's source"


@dataclass(frozen=True)
class StandIns:
    """Heads by fold and detector, and what they give on crops whose source they never saw.

    Attributes:
        heads: by fold, then by detector.
        fold_of: the fold of each source.
        measured: their logits of the crops.
        calibrated: fusion and calibration of these.
        thresholds: of the first policy, by these crops.
    """

    heads: tuple[Mapping[str, LinearHead], ...]
    fold_of: Mapping[str, int]
    measured: Measurements
    calibrated: CalibrationFit
    thresholds: Cuts


def fit_stand_ins(recipe: Recipe, folder: Path) -> StandIns:
    """Fit them on a bundle's replay.

    Raises:
        DataError: beside the bundle lies no replay of cross-fitted heads.
    """
    parts = read_bundle(folder)
    samples, measured = measured_again(parts, folder)
    # The first number is along the bundle's own head, which saw all labels.
    by_name = {name: values[:, 1:] for name, values in features_by_detector(parts, samples.features).items()}
    folds, logits = balanced(measured.labels, measured.groups), np.zeros_like(measured.logits)
    heads: list[dict[str, LinearHead]] = []
    for fitted, left_out in folds:
        of_fit = samples.take(fitted)
        mass = sampling_weights(of_fit, recipe.emphasis)
        heads.append(
            {
                part.name: fit_linear_head([by_name[part.name][fitted]], of_fit.labels, mass, part.fit.weight_decay)
                for part in recipe.detectors
            }
        )
        for column, name in enumerate(measured.names):
            logits[left_out, column] = heads[-1][name].logits(by_name[name][left_out])
    measured = replace(measured, logits=logits)
    calibrated = calibrate(measured)
    thresholds = FIRST_RULES.thresholds(figures_of(measured, calibrated.threshold_probabilities, ""))
    fold_of = {source: k for k, (_, rows) in enumerate(folds) for source in np.unique(samples.sources[rows]).tolist()}
    return StandIns(tuple(heads), fold_of, measured, calibrated, thresholds)


def judge_whole_images(recipe: Recipe, folder: Path, pictures: Pictures) -> WholeImages:
    """Judge whole images by stand-ins for a bundle's heads, as they are and compressed alike.

    Raises:
        DataError: of no picture the source is known.
    """
    stand_ins = fit_stand_ins(recipe, folder)
    pictures = pictures.take(np.isin(pictures.sources, list(stand_ins.fold_of)))
    if not len(pictures):
        raise DataError("no picture is of a source that the bundle's replay names: name folders SOURCE/real, SOURCE/ai")
    bundle = load_bundle(folder)
    for name in stand_ins.measured.names:
        detector = bundle.detector(name)
        assert isinstance(detector, EncoderDetector)  # noqa: S101 (cross-fitted heads stand on encoders)
        give_engine(detector, "cpu")
    by_change = {name: _judge_change(bundle, stand_ins, pictures, change, name) for name, change in _CHANGES.items()}
    return WholeImages(
        images=len(pictures),
        sources=np.unique(pictures.sources).tolist(),
        heads=_HEADS,
        thresholds=Thresholds(lower=stand_ins.thresholds.lower, upper=stand_ins.thresholds.upper),
        by_change=by_change,
    )


def _judge_change(
    bundle: Bundle, stand_ins: StandIns, pictures: Pictures, change: Change | None, what: str
) -> WholeChange:
    on_crops = stand_ins.measured
    logits, covered = np.empty((len(pictures), len(on_crops.names))), np.empty(len(pictures))
    for row, data in enumerate(tqdm(pictures.read(), total=len(pictures), desc=what, mininterval=5, file=sys.stderr)):
        image = decode(data, max_pixels=_MAX_PIXELS).image
        heads = stand_ins.heads[stand_ins.fold_of[str(pictures.sources[row])]]
        logits[row] = _logits(bundle, heads, on_crops.names, image if change is None else change(image))
        covered[row] = max(coverage(image.size, bundle.plans[name]) for name in on_crops.names)
    calibrated = stand_ins.calibrated
    nothing = np.zeros((len(pictures), on_crops.covariates.shape[1]))  # weighed with nothing
    measured = replace(on_crops, logits=logits, covariates=nothing, labels=pictures.labels, groups=pictures.sources)
    fused = fuse_all(calibrated.fusion, measured, np.arange(len(pictures)))
    fused_calibration = calibrated.calibrations["fused"]
    probabilities = np.array([fused_calibration.probability(logit) for logit in fused.tolist()])
    counts = {"all": _counted(pictures.labels, probabilities, stand_ins.thresholds)}
    for low, high in _VIEWS:
        rows = (covered >= low) & (covered < high)
        if rows.any():
            counts[f"{low:g} to {min(high, 5.0):g}"] = _counted(
                pictures.labels[rows], probabilities[rows], stand_ins.thresholds
            )
    return WholeChange(auroc=float(roc_auc_score(pictures.labels, fused)), by_views=counts)


@torch.inference_mode()
def _logits(bundle: Bundle, heads: Mapping[str, LinearHead], names: Sequence[str], image: Image.Image) -> list[float]:
    prepared, logits = bundle.prepare(image), []
    for name in names:
        detector = bundle.detector(name)
        assert isinstance(detector, EncoderDetector)  # noqa: S101 (as above)
        _, features = detector.see(torch.from_numpy(prepared.views[name])[None], [prepared.size])
        logits.append(float(heads[name].logits(features.numpy()[:, 1:])[0]))
    return logits


def _counted(labels: NDArray[np.int8], probabilities: Floats, thresholds: Cuts) -> WholeCounts:
    photographs, generated = probabilities[labels == 0], probabilities[labels == 1]
    accused = int((photographs > thresholds.upper).sum())
    return WholeCounts(
        photographs=len(photographs),
        accused=accused,
        accused_at_most=clopper_pearson_upper(accused, len(photographs)) if len(photographs) else 1.0,
        ai_generated=len(generated),
        found=int((generated > thresholds.upper).sum()),
        cleared=int((generated < thresholds.lower).sum()),
    )


def main() -> None:
    """Read the command line and judge."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluation.whole_images", description=__doc__)
    parser.add_argument("--recipe", required=True, help="of the bundle")
    parser.add_argument("--bundle", type=Path, help="its folder, where it is not in worker/bundles/shipped")
    parser.add_argument("--images", required=True, type=Path, help="SOURCE/real, SOURCE/ai; sources as in the replay")
    parser.add_argument("--most", type=int, default=10_000, help="images, evenly out of every source and class")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--write-card", action="store_true", help="put the figures on the bundle's card")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        recipe = load_recipe(arguments.recipe)
        folder = arguments.bundle or SHIPPED / recipe.name
        report = judge_whole_images(recipe, folder, some(open_pictures([arguments.images]), arguments.most))
        if arguments.write_card:
            update_card(folder, {"whole_images": report.document()})
    except AssayError as error:
        sys.exit(f"whole images: {error}")
    print(json.dumps(report.document(), indent=2))  # noqa: T201 (its result)


if __name__ == "__main__":
    main()
