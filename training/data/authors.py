"""Authors: sources that have something in common, and are judged together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Sources of one author, or out of one repository, are judged together; the text before the stroke begins their names.
_OF_ONE_AUTHOR = {
    "minimaxir_": "minimaxir",
    "andygock_": "andygock",
    "openalpr_": "openalpr",
    "coco_subset": "taming_transformers",
    "openimages_subset": "taming_transformers",
    "ade20k_subset": "taming_transformers",
    "openpose_media": "taming_transformers",  # COCO too
    "jetson_inference": "taming_transformers",  # COCO too
    "compvis_sd": "stable_diffusion_releases",
    "stability_sd2": "stable_diffusion_releases",
    "cub_birds": "cs601r",
    "leeds_butterflies": "cs601r",
    "urban100": "self_ex_sr",
    "sunhays80": "self_ex_sr",
    "set14": "self_ex_sr",
    "ukbench": "idealo",
    "iqa_ava": "idealo",
}


def by_author(sources: NDArray[np.str_]) -> NDArray[np.str_]:
    """Name what must not be parted, (N,): sources, or what sources have in common."""
    authors = {
        source: next((author for start, author in _OF_ONE_AUTHOR.items() if source.startswith(start)), source)
        for source in np.unique(sources).tolist()
    }
    return np.array([authors[source] for source in sources.tolist()])
