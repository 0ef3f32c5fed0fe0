"""A head fitted on cached features: the production CLIP recipe's way, with the tower frozen, and the SRM detector's.

Regularised logistic regression on a modern encoder's features beats bespoke detectors in the wild (arXiv 2509.12995,
2602.01738), and the tower runs over every view once instead of once an epoch. Either kind of head prepares the features
and ends in a linear layer; what is fitted here is that layer, and of the SRM detector's what comes before it as well.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from torch.nn.functional import layer_norm
from tqdm import tqdm

from training.calibration.fusion import by_source_or_content, parted
from training.evaluation.negatives import DRAWINGS, kinds_of
from training.fitting.augment import AUGMENTATIONS
from training.fitting.schedule import AveragedWeights, sampling_weights
from training.recipe import RecipeError
from worker.detectors.clip import ClipNetwork
from worker.detectors.pixels import normalise
from worker.detectors.srm import SrmNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.data.assemble import Rows
    from training.fitting.run import Run
    from training.recipe import Recipe

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # times the number of images
_AI, _NEGATIVE, _DRAWN = -1, 0, 1  # kinds of images; where drawings do not count for themselves, they are negatives
_LEAST_VARIANCE = 1e-6  # of the first component's
_WHITENED = (1.0, 10.0, 100.0, 1000.0)  # over that number: of little weight, where every component is as wide


def fit_head(run: Run, recipe: Recipe, rows: Rows) -> None:
    """Fit the head of a frozen CLIP or of an SRM detector; the regularisation serves sources not fitted on best.

    Of several processes the first does it, the others wait and take what it saved: there is one cache of features.

    Raises:
        RecipeError: the detector is neither an SRM detector nor a CLIP detector with a frozen tower.
    """
    network = run.detector.network
    if not isinstance(network, SrmNetwork) and not (isinstance(network, ClipNetwork) and network.frozen):
        raise RecipeError("head = logistic wants an SRM detector, or a CLIP detector with architecture.frozen = true")
    run.accelerator.wait_for_everyone()  # all have read where the run stands before the first goes on with it
    if run.at.stopped:
        return
    if run.leads:
        _fit(run, network, recipe, rows)
    run.accelerator.wait_for_everyone()
    if not run.leads:
        run.resume()


def _fit(run: Run, network: ClipNetwork | SrmNetwork, recipe: Recipe, rows: Rows) -> None:
    features: NDArray[np.floating] = cached_features(run, network, recipe, rows)  # (draws·N, F)
    draws, strengths = run.fit.draws, [strength * run.fit.draws * len(rows) for strength in _STRENGTHS]
    groups = np.tile(by_source_or_content(rows.labels, rows.sources, rows.hashes), draws)
    # Without the recipe's emphasis: a head so small gives up other sources for the one that it is to mind most.
    weights = np.tile(sampling_weights(rows, {}), draws) * len(rows)  # one each, on average
    kinds = np.where(rows.labels == 1, _AI, _NEGATIVE).astype(np.int8)
    if isinstance(network, SrmNetwork):
        features, strengths = _whitened(network, features), [strength / len(features) for strength in _WHITENED]
        kinds[kinds_of(rows) == DRAWINGS] = _DRAWN
    weight, bias = _against_each(logistic_of(features, np.tile(kinds, draws), weights, groups, strengths))
    if isinstance(network, SrmNetwork) and len(weight) == 1:  # no drawings: both alike, and their lower is the one
        weight, bias = weight.repeat(2, axis=0), bias.repeat(2) + np.log(2.0)
    linear = {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
    network.get_submodule("head.3" if isinstance(network, SrmNetwork) else "head.1").load_state_dict(linear)
    run.averaged = AveragedWeights(network)
    run.at.step, run.at.stopped = len(features), True
    run.save()


def _whitened(network: SrmNetwork, features: NDArray[np.floating]) -> NDArray[np.floating]:
    """Let an SRM detector learn its mean, spread and components from counts, (N, F); gives what its head is told."""
    normal = network.normalised_by(features)
    whitening, shift = whitening_of(normal, network.get_parameter("head.1.weight").shape[0])
    linear = {"weight": torch.from_numpy(whitening), "bias": torch.from_numpy(shift)}
    network.get_submodule("head.1").load_state_dict(linear)
    device = network.get_parameter("head.1.weight").device
    with torch.no_grad():
        white: NDArray[np.floating] = network.head[1:-1](torch.from_numpy(normal).to(device)).cpu().numpy()
    return white


def whitening_of(features: NDArray[np.floating], components: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Find whitened principal components of features, (N, F): weight (components, F) and bias (components,).

    Those that few or simple images do not have are zero.
    """
    pca = PCA(min(components, *features.shape), random_state=0).fit(features)
    there = pca.explained_variance_ > _LEAST_VARIANCE * pca.explained_variance_[0]  # of few images the rest is rounding
    weight = np.zeros((components, features.shape[1]), dtype=features.dtype)
    weight[: len(there)][there] = pca.components_[there] / np.sqrt(pca.explained_variance_[there])[:, None]
    return weight, -weight @ pca.mean_


def _against_each(model: LogisticRegression) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Give the linear functions whose lower one is the logit: weight (K, F), bias (K,)."""
    if len(model.classes_) == 2:  # noqa: PLR2004 (then scikit-learn has one function: of the second kind)
        return -model.coef_, -model.intercept_
    return model.coef_[:1] - model.coef_[1:], model.intercept_[:1] - model.intercept_[1:]


def logistic_of(
    features: NDArray[np.floating],
    kinds: NDArray[np.int8],
    weights: NDArray[np.float64],
    groups: NDArray[np.str_],
    strengths: Sequence[float],
) -> LogisticRegression:
    """Fit a logistic regression, as strongly regularised as orders groups best that it was not fitted on.

    Args:
        features: (N, F).
        kinds: (N,), -1 for AI-generated and 0 to K - 1 for the others.
        weights: (N,), one on average.
        groups: (N,), sources or contents. In every fold there are both classes: where one had one class alone, no
            strength had a score, and the first would be taken.
        strengths: scikit-learn's `C`, to choose from.
    """
    folds = parted((kinds == _AI).astype(np.int8), groups)
    with tqdm(total=len(strengths) * len(folds), desc="head, by strength and fold", file=sys.stderr) as progress:

        def order(model: LogisticRegression, rows: Any, truly: Any, sample_weight: Any = None) -> float:
            progress.update()
            return _order(model, rows, truly, sample_weight)

        search = GridSearchCV(
            LogisticRegression(max_iter=2000), {"C": list(strengths)}, scoring=order, cv=folds, error_score="raise"
        ).fit(features, kinds, sample_weight=weights)
    best: LogisticRegression = search.best_estimator_
    return best


def _order(
    model: LogisticRegression,
    features: NDArray[np.floating],
    kinds: NDArray[np.int8],
    sample_weight: NDArray[np.float64] | None = None,
) -> float:
    """Tell how well the odds of AI-generated order images, as scikit-learn asks: AUROC."""
    weight, bias = _against_each(model)
    # Not of probabilities: what is surely the one or the other has none but 0 or 1, and an infinite logarithm.
    logits = -np.logaddexp.reduce(-(features @ weight.T + bias), axis=1)
    return float(roc_auc_score(kinds == _AI, logits, sample_weight=sample_weight))


def cached_features(run: Run, network: ClipNetwork | SrmNetwork, recipe: Recipe, rows: Rows) -> NDArray[np.float32]:
    """Give the features of `draws` augmented views of each row, (draws·N, F), draw by draw; a killed run goes on.

    A tower's are normalised one by one, as its head does; counts are left as they are, for theirs learns from all.

    The cache is a memory-mapped file; a second file says how many rows of it are done.
    """
    network.eval()  # a fresh tower would drop patches
    run.folder.mkdir(parents=True, exist_ok=True)
    file, mark = run.folder / "features.npy", run.folder / "features.done"
    total, width = run.fit.draws * len(rows), network.get_parameter("head.1.weight").shape[1]
    stored, done = _opened(file, mark, (total, width))
    ways, plan = run.fit.draw_as or (recipe.augmentation,), run.detector.plan
    starts = range(done, total, run.fit.batch_size)
    for start in tqdm(starts, desc=f"{run.recipe.name} features", mininterval=2, file=sys.stderr):
        which = np.arange(start, min(start + run.fit.batch_size, total))
        rng = np.random.default_rng((recipe.seed, start))
        views = torch.cat([
            AUGMENTATIONS[ways[draw % len(ways)]](rows.pixels[which[which // len(rows) == draw] % len(rows)], plan, rng)
            for draw in np.unique(which // len(rows)).tolist()
        ]).to(run.device)  # fmt: skip
        with torch.no_grad(), torch.autocast(torch.device(run.device).type, torch.bfloat16, enabled=run.mixed):
            features = network.features(normalise(views)).float()  # (B, F)
        normal = layer_norm(features, (width,)) if isinstance(network, ClipNetwork) else features
        stored[which] = normal.cpu().numpy()
        stored.flush()
        mark.write_text(str(which[-1] + 1), encoding="utf-8")
    return np.asarray(stored)


def _opened(file: Path, mark: Path, shape: tuple[int, int]) -> tuple[Any, int]:
    """Give the cache and how many rows of it are done; one that is cut off, or of another shape, begins anew."""
    try:
        # To be read only, at first: opened for writing, what is cut off would be filled up with zeros.
        sound = np.lib.format.open_memmap(file, mode="r").shape == shape
        done = int(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        sound, done = False, 0
    if not sound:
        mark.unlink(missing_ok=True)  # before there are zeros that it would call done
        return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape), 0
    return np.lib.format.open_memmap(file, mode="r+"), done
