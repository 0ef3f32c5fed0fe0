"""Replay of a shipped bundle: what it sees in the images that its recipe holds out, for refits to keep in mind.

`python -m training.export.replay --recipe wild --data DIR` after `run_bundle --ship`; a bundle that a training run made
has its replay from that run. Features, logits, labels and content hashes are kept, no image; of a shipped bundle those
of all held-out images, so `assay bundles held-out` can make the card's figures again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from training.data.assemble import Rows, recipe_rows, split
from training.export.run_bundle import SHIPPED
from training.recipe_file import load_recipe
from training.retraining.refit_data import keep_for_replay
from worker.bundles.copies import REPLAY
from worker.bundles.loaded import load_bundle

# Enough to fit, calibrate and judge on; more would weigh on everybody who installs the release.
MOST = 5000
_SEED = 20261121


def some_of(rows: Rows, most: int) -> Rows:
    """Draw at most so many rows by lot, the same ones each time, in their order."""
    if len(rows) <= most:
        return rows
    return rows.take(np.sort(np.random.default_rng(_SEED).permutation(len(rows))[:most]))


def main() -> None:
    """Read the command line and write the bundle's replay beside it."""
    parser = argparse.ArgumentParser(prog="python -m training.export.replay", description=__doc__)
    parser.add_argument("--recipe", required=True, help="the recipe of a bundle in worker/bundles/shipped")
    parser.add_argument("--data", required=True, type=Path, help="the folder with the recipe's files")
    parser.add_argument("--cache", required=True, type=Path, help="a folder for decoded pictures")
    parser.add_argument("--bundle", type=Path, help="its folder, where it is not in worker/bundles/shipped")
    parser.add_argument("--most", type=int, default=MOST, help="images")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = load_recipe(arguments.recipe)
    folder = arguments.bundle or SHIPPED / recipe.name
    _, held_out = split(recipe_rows(recipe, arguments.data, arguments.cache), recipe)
    rows = some_of(held_out, arguments.most)
    bundle = load_bundle(folder)
    keep_for_replay(bundle, rows, folder / REPLAY)
    sys.stderr.write(f"kept {len(rows)} of {len(held_out)} held-out images in {folder / REPLAY}\n")


if __name__ == "__main__":
    main()
