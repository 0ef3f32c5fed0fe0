"""Training: a recipe and data → fitted detectors.

`python -m training.train --recipe cifake --data DIR --out DIR` fits every detector of the recipe, one after the
other, and goes on where it was stopped. With all of them fitted, it calibrates and exports the bundle.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from training.augment import AUGMENTATIONS
from training.data import Rows, recipe_rows, split
from training.export import export
from training.recipe import DetectorRecipe, Fit, Recipe, load_recipe
from worker.detectors.detector import Detector, normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CHECKPOINT_EVERY = 60.0  # seconds


def learning_rate_at(progress: float, fit: Fit) -> float:
    """Rise linearly during the warm-up, then fall along a cosine to zero; progress runs from 0 to 1."""
    if progress < fit.warm_up:
        return fit.learning_rate * (progress / fit.warm_up)
    along = (progress - fit.warm_up) / (1.0 - fit.warm_up)
    return fit.learning_rate * 0.5 * (1.0 + math.cos(math.pi * along))


def sampling_weights(rows: Rows, emphasis: Mapping[str, float]) -> NDArray[np.float64]:
    """Weigh rows so that both classes come equally often, and big sources do not drown small ones.

    Within a class a source's share grows with the square root of its size, times its emphasis where it has one.
    Returns (N,), summing to 1.
    """
    weights = np.zeros(len(rows), dtype=np.float64)
    for label in (0, 1):
        of_label = rows.labels == label
        names, counts = np.unique(rows.sources[of_label], return_counts=True)
        shares = np.sqrt(counts) * [emphasis.get(name, 1.0) for name in names.tolist()]
        roots = dict(zip(names.tolist(), shares / counts, strict=True))
        raw = np.array([roots[source] for source in rows.sources[of_label].tolist()])
        weights[of_label] = raw / raw.sum()
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels; leave biases, norms and scales alone. Frozen parameters are left out."""
    trained = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def initialise(network: nn.Module) -> None:
    """Draw fresh matrices and kernels with unit gain, and let every residual branch count from the start.

    timm starts ConvNeXt with 0.02-sized weights and branches scaled by 1e-6, which suits 300 epochs and wastes the
    first of three.
    """
    for name, value in network.named_parameters():
        if value.ndim > 1 and name.endswith("weight"):
            fan_in = value[0].numel()
            nn.init.trunc_normal_(value, std=fan_in**-0.5)
        elif name.endswith("gamma"):
            nn.init.constant_(value, 0.5)


def load_pretrained(detector: Detector, tensors: dict[str, Tensor]) -> None:
    """Load a CLIP tower, or a ConvNeXt whose old head is left behind for a fresh one.

    Raises:
        RuntimeError: the weights are of another architecture.
    """
    if detector.name == "clip":
        detector.network.get_submodule("tower").load_state_dict(tensors)
        return
    fresh_head = {name: value for name, value in detector.network.state_dict().items() if name.startswith("head.fc.")}
    body = {name: value for name, value in tensors.items() if not name.startswith("head.fc.")}
    detector.network.load_state_dict({**body, **fresh_head})


class AveragedWeights:
    """An exponential moving average of a network's weights, which is what gets shipped."""

    def __init__(self, network: nn.Module) -> None:
        """Start from the weights as they are."""
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, keep: float) -> None:
        """Move towards the network's weights, keeping the share `keep` of the old average."""
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1.0 - keep)
            else:
                self.values[name].copy_(value)


class Run:
    """The state of one detector's training: what a checkpoint holds and a resumed run continues from."""

    def __init__(self, recipe: DetectorRecipe, folder: Path, device: str) -> None:
        """Build everything with fresh weights, or pretrained ones where the recipe names a file."""
        self.fit = recipe.fit
        self.detector: Detector = recipe.build()
        if recipe.pretrained is not None:
            load_pretrained(self.detector, load_file(recipe.pretrained))
        elif recipe.name == "convnext":
            initialise(self.detector.network)
        self.detector.network.to(device)
        groups = parameter_groups(self.detector.network, self.fit.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=self.fit.learning_rate, betas=(0.9, 0.98))
        self.averaged = AveragedWeights(self.detector.network)
        self.folder = folder
        self.device = device
        self.step = 0
        self.seconds = 0.0

    def save(self) -> None:
        """Write the checkpoint; tensors as safetensors, counters as JSON, each replaced in one move."""
        state = self.optimizer.state_dict()
        tensors = {f"network.{k}": v for k, v in self.detector.network.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.values.items()}
        for index, slots in state["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in slots.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        half = self.folder / "checkpoint.tmp"
        save_file(
            {k: v.detach().clone().contiguous() for k, v in tensors.items()},
            half,
            metadata={"step": str(self.step), "seconds": str(self.seconds)},
        )
        os.replace(half, self.folder / "checkpoint.safetensors")  # noqa: PTH105 (one atomic move)

    def resume(self) -> bool:
        """Continue from the checkpoint, if there is one; tell whether there was."""
        file = self.folder / "checkpoint.safetensors"
        if not file.exists():
            return False
        tensors = load_file(file, device=self.device)
        self.detector.network.load_state_dict(_under("network.", tensors))
        self.averaged.values = _under("averaged.", tensors)
        state = self.optimizer.state_dict()
        for key, value in _under("optimizer.", tensors).items():
            index, slot = key.split(".")
            state["state"].setdefault(int(index), {})[slot] = value
        self.optimizer.load_state_dict(state)
        header = json.loads(_metadata(file))
        self.step, self.seconds = int(header["step"]), float(header["seconds"])
        return True


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _metadata(file: Path) -> str:
    with safe_open(file, framework="pt") as opened:
        return json.dumps(opened.metadata())


def fit_detector(run: Run, recipe: Recipe, rows: Rows) -> None:
    """Fit one detector until its epochs or its minutes are over, checkpointing every minute."""
    fit = run.fit
    steps = math.ceil(fit.epochs * len(rows) / fit.batch_size)
    weights = sampling_weights(rows, recipe.emphasis)
    augment = AUGMENTATIONS[recipe.augmentation]
    network = run.detector.network.train()
    plan = next(part.views for part in recipe.detectors if part.name == run.detector.name)
    began, saved, loss_mean = time.monotonic() - run.seconds, run.seconds, 0.69
    bar = tqdm(total=1000, desc=run.detector.name, mininterval=20, unit="‰")
    while True:
        run.seconds = time.monotonic() - began
        progress = max(run.step / steps, run.seconds / (60.0 * fit.minutes))
        bar.update(int(1000 * progress) - bar.n)
        if progress >= 1.0:
            break
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate_at(progress, fit)
        rng = np.random.default_rng((recipe.seed, run.step))  # a step's draw needs no history: resuming is exact
        which = np.sort(rng.choice(len(rows), size=fit.batch_size, p=weights))
        pixels = normalise(augment(rows.pixels[which], plan, rng)).to(run.device)  # (B, 3, H, W)
        targets = torch.from_numpy(rows.labels[which]).to(run.device).float()  # (B,)
        targets = targets * (1.0 - fit.label_smoothing) + 0.5 * fit.label_smoothing
        with torch.autocast(run.device, enabled=run.device == "cuda", dtype=torch.bfloat16):
            logits = run.detector.view_logits(pixels)  # (B,)
        loss = binary_cross_entropy_with_logits(logits.float(), targets)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        run.optimizer.step()
        run.step += 1
        # The half-life is a share of the schedule; early on a shorter one forgets the random start.
        half_life = min(fit.ema_half_life * run.step / max(progress, 1e-6), 0.1 * run.step + 1.0)
        run.averaged.update(network, keep=0.5 ** (1.0 / half_life))
        loss_mean += 0.01 * (loss.item() - loss_mean)
        bar.set_postfix(
            step=run.step,
            loss=f"{loss_mean:.4f}",
            images_s=f"{run.step * fit.batch_size / max(run.seconds, 1e-9):.0f}",
            refresh=False,
        )
        if run.seconds - saved > CHECKPOINT_EVERY:
            saved = run.seconds
            run.save()
    bar.close()
    run.save()


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--recipe", required=True, help="a name in training/recipes, or a TOML file")
    parser.add_argument("--data", required=True, type=Path, help="the folder with the recipe's Parquet files")
    parser.add_argument("--out", required=True, type=Path, help="the run's folder: cache, checkpoints, bundle")
    parser.add_argument(
        "--detector", choices=["clip", "convnext"], help="fit this one only and stop before calibration"
    )
    parser.add_argument("--minutes", type=float, help="wall clock for each detector instead of the recipe's")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = load_recipe(arguments.recipe)
    torch.manual_seed(recipe.seed)
    rows = recipe_rows(recipe, arguments.data, arguments.out / "cache")
    training, _ = split(rows, recipe)
    for part in recipe.detectors:
        if arguments.detector in {None, part.name}:
            chosen = (
                part if arguments.minutes is None else replace(part, fit=replace(part.fit, minutes=arguments.minutes))
            )
            run = Run(chosen, arguments.out / part.name, arguments.device)
            run.resume()
            fit_detector(run, recipe, training)
    if arguments.detector is None:
        print(export(recipe, arguments.data, arguments.out, arguments.out / "bundle", arguments.device))  # noqa: T201


if __name__ == "__main__":
    main()
