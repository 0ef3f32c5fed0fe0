"""The loop: rows → a fitted detector. One loop for both networks and for every classifier.

A step's draw, its augmentation and its dropout come from the recipe's seed and the step's number alone, so a resumed
run needs no history and ends where it would have ended.
"""

from __future__ import annotations

import itertools
import sys
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import broadcast
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from training.fitting.augment import AUGMENTATIONS, cut_out
from training.fitting.curves import Curves
from training.fitting.schedule import keep_of, learning_rate_at, sampling_weights, steps_of
from worker.cores import cores
from worker.detectors.pixels import normalise

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from training.data.assemble import Rows
    from training.fitting.run import Run
    from training.recipe import Recipe

    Listener = Callable[[dict[str, Any]], None]

_SHOW_EVERY = 20  # steps
_LOOK_ROWS, _LOOK_BATCH = 4000, 64
_FAR, _NEAR = 20.0, 0.5  # seconds between lines of progress in a file and on a terminal


class Draws(Dataset[tuple[Tensor, Tensor]]):
    """Batches by step: (views uint8 (B, 3, H, W), labels float32 (B,)); the share of this process of several."""

    def __init__(self, rows: Rows, run: Run, recipe: Recipe) -> None:
        """Weigh the rows."""
        self._rows, self._recipe = rows, recipe
        self._plan, self._size, self._cutout = run.detector.plan, run.fit.batch_size, run.fit.cutout
        self._weights = sampling_weights(rows, recipe.emphasis)
        self._place, self._processes = run.accelerator.process_index, run.accelerator.num_processes

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw and augment the batch of a step."""
        rng = np.random.default_rng((self._recipe.seed, step))
        which = np.sort(rng.choice(len(self._rows), size=self._size, p=self._weights))[self._place :: self._processes]
        own = rng.spawn(self._processes)[self._place]
        views = AUGMENTATIONS[self._recipe.augmentation](self._rows.pixels[which], self._plan, own)
        return cut_out(views, self._cutout, own), torch.from_numpy(self._rows.labels[which]).float()


class _Judge(nn.Module):
    """A run's detector as a module, so that gradients are gathered over processes."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.network = run.detector.network
        self._view_logits = run.detector.view_logits
        if run.mixed and torch.device(run.device).type == "cpu":
            keep_depthwise_whole(self.network)

    def forward(self, pixels: Tensor) -> Tensor:
        return self._view_logits(pixels)


def fit_detector(
    run: Run, recipe: Recipe, rows: Rows, validation: Rows | None = None, listener: Listener = lambda _: None
) -> None:
    """Fit until the epochs or the minutes are over, or the validation loss stands still.

    Args:
        run: where to start from; holds the result in `averaged`, and a checkpoint in its folder.
        recipe: seed, augmentation and emphasis.
        rows: to fit on.
        validation: to stop early by, where the fit has patience.
        listener: hears of the progress, between 0 and 1, every few steps.
    """
    if run.at.stopped:
        return
    fit, at = run.fit, run.at
    steps, epoch = steps_of(fit, len(rows)), max(1, len(rows) // fit.batch_size)
    draws = Draws(rows, run, recipe)
    judge, optimizer = run.accelerator.prepare(_Judge(run), run.optimizer)
    run.detector.network.train()
    loss = torch.zeros(())
    began = time.monotonic() - at.seconds
    with Curves(run.folder, at.step) as curves, _bar(run) as bar:
        if recipe.show_views:
            curves.images("training/views", draws[at.step][0], at.step)
        for views, labels in _batches(draws, run):
            at.seconds = time.monotonic() - began
            progress = _agreed(run, progress_of(run, steps))
            if progress >= 1.0:
                break
            _set_learning_rate(optimizer, learning_rate_at(progress, fit))
            torch.manual_seed(_seed(recipe, run))  # of dropout
            loss = _step(run, judge, optimizer, views, labels)
            at.step += 1
            run.averaged.update(run.detector.network, keep_of(fit, at.step, progress))
            if at.step % _SHOW_EVERY == 1:
                _show(curves, bar, run, loss.item(), progress)
                listener(_news(run, progress, loss.item(), epoch))
            at.stopped = at.step % epoch == 0 and _stands_still(run, validation, curves)
            if at.stopped:
                break
            run.save_if_due(recipe.checkpoint_seconds)
        run.take_best()
        run.save()
        bar.update(bar.total - bar.n)  # it is over, be it by epochs, minutes or patience
        if run.leads:
            curves.hyperparameters(run.recipe, {"final/loss": loss.item()})
            _draw_precision_recall(run, validation, curves)


def keep_depthwise_whole(network: nn.Module) -> None:
    """Let convolutions by channel stay in fp32 within mixed precision.

    On a CPU their backward pass takes four times as long in bf16: an EfficientNet-Lite2 learnt from 27 images a second,
    and from 63 so.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.forward = partial(_in_fp32, module.forward)  # type: ignore[method-assign]


def _in_fp32(convolve: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return convolve(pixels.float())


def _draw_precision_recall(run: Run, validation: Rows | None, curves: Curves) -> None:
    """Show what the weights that are kept give on the validation rows."""
    if validation:
        labels, logits = judge_rows(run, validation)
        probabilities = torch.from_numpy(logits).sigmoid()
        curves.precision_recall("validation/precision_recall", torch.from_numpy(labels), probabilities, run.at.step)


def _news(run: Run, progress: float, loss: float, steps_an_epoch: int) -> dict[str, Any]:
    epoch = round(run.at.step / steps_an_epoch, 3)
    return {"detector": run.recipe.name, "progress": progress, "step": run.at.step, "epoch": epoch, "loss": loss}


def progress_of(run: Run, steps: int) -> float:
    """Say how much of the schedule is over, by steps or by the clock, whichever is further: 0 and up."""
    by_clock = run.at.seconds / (60.0 * run.fit.minutes) if run.fit.minutes else 0.0
    return max(run.at.step / steps, by_clock)


def _set_learning_rate(optimizer: Any, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _step(run: Run, judge: nn.Module, optimizer: Any, views: Tensor, labels: Tensor) -> Tensor:
    targets = labels.to(run.device) * (1.0 - run.fit.label_smoothing) + 0.5 * run.fit.label_smoothing  # (B,)
    pixels = normalise(views.to(run.device, non_blocking=True))  # (B, 3, H, W)
    with _attention(run):
        with torch.autocast(torch.device(run.device).type, dtype=torch.bfloat16, enabled=run.mixed):
            logits = judge(pixels)  # (B,)
        loss = binary_cross_entropy_with_logits(logits.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        run.accelerator.backward(loss)
    if run.fit.clip_norm:
        run.accelerator.clip_grad_norm_(judge.parameters(), run.fit.clip_norm)
    optimizer.step()
    return loss.detach()


def _attention(run: Run) -> AbstractContextManager[None]:
    """On a CPU, let attention be plain products of matrices: PyTorch's fused kernel leaves AMX idle in bf16."""
    plain: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return plain if run.mixed and torch.device(run.device).type == "cpu" else nullcontext()


def _seed(recipe: Recipe, run: Run) -> int:
    processes, place = run.accelerator.num_processes, run.accelerator.process_index
    return int((recipe.seed * 1_000_003 + run.at.step) * processes + place)


def _batches(draws: Draws, run: Run) -> DataLoader[tuple[Tensor, Tensor]]:
    """Draw ahead in other processes where a GPU would wait for them."""
    on_gpu = torch.device(run.device).type == "cuda"
    workers = min(8, cores() // max(1, run.accelerator.num_processes)) if on_gpu else 0
    steps = itertools.count(run.at.step)
    return DataLoader(draws, batch_size=None, sampler=steps, num_workers=workers, pin_memory=on_gpu)


def _agreed(run: Run, value: float) -> float:
    """Let several processes go by the first one's clock, so that all end with the same step."""
    if run.accelerator.num_processes == 1:
        return value
    shared: Tensor = broadcast(torch.tensor([value], dtype=torch.float64, device=run.device))
    return float(shared.item())


def _stands_still(run: Run, validation: Rows | None, curves: Curves) -> bool:
    """Look at the validation rows; keep the weights if they are the best so far, else count the look."""
    if not run.fit.patience or not validation:
        return False
    labels, logits = judge_rows(run, validation)
    loss = _agreed(run, float(np.mean(np.logaddexp(0.0, np.where(labels == 1, -logits, logits)))))
    if run.leads:
        auroc = float(roc_auc_score(labels, logits))
        curves.scalars({"validation/loss": loss, "validation/auroc": auroc}, run.at.step)
    if loss < run.at.best_loss:
        run.at.best_loss, run.at.waited = loss, 0
        run.save_best()
        return False
    run.at.waited += 1
    return run.at.waited >= run.fit.patience


@torch.no_grad()
def judge_rows(run: Run, rows: Rows, most: int = _LOOK_ROWS) -> tuple[Any, Any]:
    """Judge rows with the averaged weights as a worker would: (labels, logits), each (n,) with n at most `most`."""
    which = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))
    logits = []
    with run.averaged.lent_to(run.detector.network):
        for start in range(0, len(which), _LOOK_BATCH):
            pictures = [Image.fromarray(rows.pixels[index]) for index in which[start : start + _LOOK_BATCH]]
            views = torch.stack([run.detector.views(picture) for picture in pictures]).to(run.device)
            logits.append(run.detector.logits(views).float().cpu().numpy())
    return rows.labels[which], np.concatenate(logits)


def _bar(run: Run) -> tqdm[Any]:
    interval = _NEAR if sys.stderr.isatty() else _FAR
    return tqdm(
        total=1000, desc=run.recipe.name, mininterval=interval, unit="‰", file=sys.stderr, disable=not run.leads
    )


def _show(curves: Curves, bar: tqdm[Any], run: Run, loss: float, progress: float) -> None:
    if not run.leads:
        return
    speed = (run.at.step - 1) * run.fit.batch_size / max(run.at.seconds, 1e-9)
    bar.set_postfix(step=run.at.step, loss=f"{loss:.4f}", images_s=f"{speed:.0f}", refresh=False)
    bar.update(int(1000 * progress) - bar.n)
    rate = learning_rate_at(progress, run.fit)
    curves.scalars({"training/loss": loss, "training/learning_rate": rate, "training/images_s": speed}, run.at.step)
