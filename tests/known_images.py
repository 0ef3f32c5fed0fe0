"""What is known of labelled images that nobody has: no pixels, no files."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Images:
    """N of them; every array is (N,), as in `training.data.assemble.Rows`."""

    labels: NDArray[np.int8]
    sources: NDArray[np.str_]
    generators: NDArray[np.str_]
    hashes: NDArray[np.str_]
