"""Curves: what TensorBoard shows of a run; `tensorboard --logdir OUT` while it runs or afterwards."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING

from torch.utils.tensorboard import SummaryWriter

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from torch import Tensor

    from training.recipe import DetectorRecipe

_IMAGES_SHOWN = 16


class Curves(AbstractContextManager["Curves"]):
    """Writes the scalars, images and hyperparameters of one detector's fit; a resumed run goes on where it was."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open the log; what a killed run wrote past `step` is hidden."""
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Add points to curves, by name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def images(self, name: str, views: Tensor, step: int) -> None:
        """Show views as the network gets them: (N, 3, H, W) uint8."""
        self._writer.add_images(name, views[:_IMAGES_SHOWN], step)

    def precision_recall(self, name: str, labels: Tensor, probabilities: Tensor, step: int) -> None:
        """Draw a precision-recall curve."""
        self._writer.add_pr_curve(name, labels, probabilities, step)

    def hyperparameters(self, recipe: DetectorRecipe, results: dict[str, float]) -> None:
        """Note what the fit was made with, beside what it came to."""
        chosen = {**asdict(recipe.fit), "size": recipe.views.size, "pretrained": str(recipe.pretrained)}
        values = {name: " ".join(value) if isinstance(value, tuple) else value for name, value in chosen.items()}
        self._writer.add_hparams(values, results, run_name=".")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write everything out."""
        self._writer.close()
