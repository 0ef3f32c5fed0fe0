"""A run: the state of one detector's fitting, what a checkpoint holds and a resumed run continues from."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]

from training.fitting.pretrained import give_weights
from training.fitting.schedule import AveragedWeights, parameter_groups
from training.recipe import DetectorRecipe, RecipeError
from worker.cores import multiplies_bf16

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from worker.detectors.detector import Detector

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"


@dataclass
class Counters:
    """Where a run stands.

    Attributes:
        step: steps done.
        seconds: of wall clock spent, over all its lives.
        best_loss: lowest validation loss seen, infinite before the first look.
        waited: looks since then.
        stopped: whether it has ended before its schedule did.
    """

    step: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    waited: int = 0
    stopped: bool = False


class Run:
    """Detector, optimizer, averaged weights and counters, on a device, with a folder."""

    def __init__(self, recipe: DetectorRecipe, folder: Path, device: str) -> None:
        """Build everything with fresh weights, or pretrained ones where the recipe names some.

        Raises:
            RecipeError: the pretrained weights cannot be loaded.
        """
        self.recipe = recipe
        self.fit = recipe.fit
        self.detector: Detector = recipe.build()
        give_weights(self.detector, recipe)
        # Under `accelerate launch` each process gets a device of its own; alone it is the one asked for.
        self.accelerator = Accelerator(cpu=device == "cpu")
        chosen = self.accelerator.device
        # Each of several processes on CPUs is told `cpu:0`, which safetensors does not know.
        self.device = "cpu" if chosen.type == "cpu" else str(chosen)
        self.detector.network.to(self.device)
        quick = self.device != "cpu" or multiplies_bf16()
        self.mixed = self.fit.precision == "bf16" or (self.fit.precision == "auto" and quick)  # forward passes in bf16
        groups = parameter_groups(self.detector.network, self.fit.weight_decay)
        self.optimizer = create_optimizer_v2(
            groups, self.fit.optimizer, lr=self.fit.learning_rate, betas=(0.9, 0.98), momentum=0.95
        )
        self.averaged = AveragedWeights(self.detector.network)
        self.folder = folder
        self.at = Counters()
        self._saved = 0.0  # seconds of the run at the last checkpoint

    @property
    def leads(self) -> bool:
        """Tell whether this process is the one that writes."""
        return bool(self.accelerator.is_main_process)

    def save(self) -> None:
        """Write the checkpoint, counters in its header, and put it into place in one move."""
        if not self.leads:
            return
        state = self.optimizer.state_dict()
        tensors = {f"network.{k}": v for k, v in self.detector.network.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.values.items()}
        names = self._fitted()
        for index, slots in state["state"].items():
            # Muon notes beside them which weights are its own; it finds that out again.
            own = {name: value for name, value in slots.items() if isinstance(value, torch.Tensor)}
            tensors |= {f"optimizer.{names[index]}.{name}": value for name, value in own.items()}
        header = {name: repr(value) for name, value in asdict(self.at).items()}
        _write(tensors, self.folder / CHECKPOINT, header)

    def _fitted(self) -> list[str]:
        """Name the weights in the order in which the optimizer counts them."""
        names = {id(weight): name for name, weight in self.detector.network.named_parameters()}
        return [names[id(weight)] for group in self.optimizer.param_groups for weight in group["params"]]

    def save_if_due(self, every: float) -> None:
        """Write the checkpoint if the last one is so many seconds old."""
        if self.at.seconds - self._saved >= every:
            self._saved = self.at.seconds
            self.save()

    def save_best(self) -> None:
        """Keep the averaged weights as the best so far."""
        if self.leads:
            _write(self.averaged.values, self.folder / BEST, {})

    def take_best(self) -> None:
        """Make the best weights seen the averaged ones, if any were kept."""
        self.accelerator.wait_for_everyone()
        if (self.folder / BEST).exists():
            self.averaged.values = _read(self.folder / BEST, self.device)[0]

    def resume(self) -> bool:
        """Continue from the checkpoint, if there is one; tell whether there was.

        Raises:
            RecipeError: it is damaged, or of an earlier version.
        """
        file = self.folder / CHECKPOINT
        if not file.exists():
            return False
        tensors, header = _read(file, self.device)
        earlier = f"{file} is of an earlier version; delete {self.folder}, and its detector is fitted anew"
        try:
            self.detector.network.load_state_dict(_under("network.", tensors))
        except RuntimeError as error:  # torch's, where names or shapes of weights differ
            raise RecipeError(earlier) from error
        self.averaged.values = _under("averaged.", tensors)
        state, places = self.optimizer.state_dict(), {name: place for place, name in enumerate(self._fitted())}
        for key, value in _under("optimizer.", tensors).items():
            name, slot = key.rsplit(".", 1)
            if name not in places:
                raise RecipeError(earlier)
            # AdamW counts on the CPU; a count on the GPU would be waited for in every step.
            state["state"].setdefault(places[name], {})[slot] = value.cpu() if slot == "step" else value
        self.optimizer.load_state_dict(state)
        self.at = Counters(
            step=int(header["step"]),
            seconds=float(header["seconds"]),
            best_loss=float(header.get("best_loss", "inf")),
            waited=int(header.get("waited", "0")),
            stopped=header.get("stopped") == "True",
        )
        self._saved = self.at.seconds
        return True


def _write(tensors: dict[str, Tensor], file: Path, header: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".tmp")
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, half, metadata=header)
    os.replace(half, file)  # noqa: PTH105 (one atomic move)


def _read(file: Path, device: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(file, framework="pt") as opened:
            header = opened.metadata() or {}
        return load_file(file, device=device), header
    except (OSError, SafetensorError) as error:
        raise RecipeError(
            f"{file} is damaged ({error}); delete {file.parent}, and its detector is fitted anew"
        ) from error


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
