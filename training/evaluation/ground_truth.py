"""What every measure asks for: a few facts of each labelled image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GroundTruth(Protocol):
    """What is known of labelled images, (N,) each: `training.data.assemble.Rows` and `Pictures` both are."""

    @property
    def labels(self) -> NDArray[np.int8]: ...  # noqa: D102 (as in Rows)
    @property
    def sources(self) -> NDArray[np.str_]: ...  # noqa: D102
    @property
    def generators(self) -> NDArray[np.str_]: ...  # noqa: D102
    @property
    def hashes(self) -> NDArray[np.str_]: ...  # noqa: D102
